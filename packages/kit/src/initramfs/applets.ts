/**
 * Busybox's programs in the guest, as links in `/bin`.
 *
 * Its shell finds all of its applets without links; these are for programs that execute others by name.
 * Each link costs boot time, so those for hardware, accounts and package management are left out.
 *
 * @module
 */
export const applets: ReadonlyArray<string> = (
  "[ [[ ash awk base64 basename cat chgrp chmod chown chroot cmp cp cut date dd df diff dirname dmesg du echo egrep " +
  "env expr false fgrep find free grep gunzip gzip head hexdump hostname httpd id ifconfig install ip " +
  "kill killall less ln ls lsmod md5sum mkdir mkfifo mknod mktemp mount mv nc netstat nproc od paste " +
  "pidof ping ping6 printf ps pwd readlink realpath rm rmdir sed seq setsid sh sha256sum sha512sum sleep " +
  "sort stat strings stty sync tail tar tee telnet test time timeout top touch tr true truncate tty umount uname " +
  "uniq unlink usleep vi watch wc wget which whoami xargs xxd yes zcat"
).split(" ")
