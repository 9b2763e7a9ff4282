/**
 * Typical mistakes on the command line.
 *
 * @module
 */

/** Invalid calls in a store with a snapshot called web: their exit status, and their message. */
export const mistakes: ReadonlyArray<readonly [status: number, says: RegExp, ...args: ReadonlyArray<string>]> = [
  [
    2,
    /^stillpoint: policy, column 12: expected a value: .*, found the end\n {2}\{"trigger":\n {13}\^$/m,
    "replay",
    "web",
    "--at",
    '{"trigger":'
  ],
  [3, /no snapshot is called wbe; did you mean web/, "inspect", "wbe", "--json"],
  [125, /did you mean web/, "exec", "wbe", "--", "true"],
  [127, /^stillpoint: nosuchcmd: .* No such file or directory/, "exec", "web", "--", "nosuchcmd"],
  [127, /^stillpoint: \/etc\/hostname\/x: .* Not a directory/, "exec", "web", "--json", "--", "/etc/hostname/x"],
  [126, /^stillpoint: \/etc\/hostname: .* Permission denied/, "exec", "web", "--", "/etc/hostname"],
  [126, /^stillpoint: \/bin: .* Permission denied/, "fork", "web", "--", "/bin"],
  [127, /^stillpoint: nosuchcmd: .* No such file or directory/, "run", "kit:httpd", "--", "nosuchcmd"],
  [
    2,
    /^stillpoint: expected kit:httpd, oci:FOLDER\[:TAG\], .* or docker:.*, found "foo:bar"$/m,
    "bake",
    "foo:bar",
    "--json"
  ],
  [2, /did you mean httpd/, "bake", "kit:htpd", "--json"],
  [
    2,
    /policy, column 8: unknown trigger afer; did you mean after\n.*\n {9}\^/,
    "bake",
    "kit:httpd",
    "--at",
    "idle | afer 1s",
    "--json"
  ],
  [2, /expected NAME or NAME:TAG/, "tag", "web", "../web", "--json"],
  [2, /tag: name: expected a name outside cache, .*found cache:two: choose/, "tag", "web", "cache:two", "--json"],
  [2, /name: expected a name outside cache, .*found cache: choose/, "bake", "kit:httpd", "--name", "cache", "--json"],
  [4, /the name web is already taken by/, "bake", "kit:httpd", "--name", "web", "--json"],
  [2, /Unknown subcommand/, "inspct", "web"],
  [2, /Missing required argument/, "rm", "--json"],
  [125, /did you mean httpd/, "run", "kit:htpd", "--", "true"],
  [
    2,
    /^stillpoint: \.\/none\.ts: expected a policy .*; found no such file$/m,
    "bake",
    "kit:httpd",
    "--at",
    "./none.ts"
  ],
  [2, /--publish: expected \[ADDRESS:\]HOSTPORT:PORT\[\/udp\], .*, found 80/, "up", "kit:httpd", "--publish", "80"],
  [2, /--publish: expected .* at most 65535, found 99999:80/, "serve", "web", "--publish", "99999:80"],
  [2, /--publish: expected .*, found 0:0/, "serve", "web", "--publish", "0:0"],
  [
    2,
    /--publish: expected .* an IPv4 address .*, found 999.1.1.1:0:80/,
    "up",
    "kit:httpd",
    "--publish",
    "999.1.1.1:0:80"
  ],
  [2, /--publish: expected .* \[IPv6 address\].*, found ::1:0:80/, "serve", "web", "--publish", "::1:0:80"],
  [2, /--publish: expected .*, found \[127.0.0.1\]:0:80/, "serve", "web", "--publish", "[127.0.0.1]:0:80"],
  [
    2,
    /expected one of them, found both/,
    "serve",
    "web",
    "--publish",
    "0:80",
    "--clone-per-request",
    "--clone-per-connection"
  ],
  [2, /--publish: expected .*, found 0:53\/sctp/, "serve", "web", "--publish", "0:53/sctp"],
  [2, /expected a value between 1 and 16384, found 99999/, "bake", "kit:httpd", "--memory", "99999"],
  [2, /expected SNAPSHOT:\/PATH on one side/, "cp", "./one", "./other"],
  [2, /--name: expected a name for the new snapshot/, "cp", "./one", "web:/one"],
  [
    2,
    /cp: name: expected a name outside cache, .*found cache:x: choose/,
    "cp",
    "./one",
    "wbe:/one",
    "--name",
    "cache:x"
  ],
  [
    4,
    /the name web is already taken by .*; choose another name, or take this one with replace \(--replace on the command line\)/,
    "cp",
    "./missing",
    "web:/one",
    "--name",
    "web"
  ],
  [
    2,
    /policy, column 10: onListener.port: expected a whole number from 1 to 65535, found 99999\n.*\n {11}\^/,
    "bake",
    "kit:httpd",
    "--at",
    "listener:99999"
  ],
  [
    2,
    /^stillpoint: policy, column 2, trigger: unknown trigger onListner; did you mean onListener$/m,
    "bake",
    "kit:httpd",
    "--at",
    '{"trigger":"onListner"}'
  ],
  [
    1,
    /^stillpoint: \.\/none\.tar: expected to read the image's source, found: it does not exist$/m,
    "bake",
    "docker-archive:./none.tar"
  ],
  [1, /read of \.\/missing failed: ENOENT/, "cp", "./missing", "web:/one", "--name", "web3"],
  [3, /did you mean web/, "untag", "wbe"],
  [3, /did you mean web/, "report", "web", "wbe"],
  [2, /--seconds: expected 1 to 3600, found 0/, "record", "kit:httpd", "--seconds", "0"],
  [1, /read of .*boot failed: ENOENT/, "replay", "./boot"],
  [1, /write of .*report\.html failed: ENOENT/, "report", "web", "--out", "no/such/report.html"]
]
