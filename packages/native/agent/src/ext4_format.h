/*
 * An empty ext4 file system, written onto a device that holds zeros.
 *
 *   block 0 of 4096 bytes   superblock at 1024
 *         1 ..              group descriptors, with checksums
 *   in each group           [copies of both] block bitmap, inode bitmap, inode table
 *   in group 0 also         the root folder, the journal
 *
 * Empty groups are marked as such, and the kernel creates their bitmaps when it needs them: only a few blocks are written,
 * whatever the size. There is no lost+found, which e2fsck creates when it needs one: programs that want an empty folder for
 * their data find one. Copies of superblock and descriptors are where `sparse_super` has them.
 *
 * Source: the kernel's documentation, filesystems/ext4.
 */
#ifndef STILLPOINT_EXT4_FORMAT_H
#define STILLPOINT_EXT4_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

/* The smallest and the largest device that is formatted. */
#define EXT4_LEAST_BYTES (UINT64_C(8) << 20)
#define EXT4_MOST_BYTES (UINT64_C(1) << 40)

/* Whether the first MiB of the device is zero: no known file system or partition table begins later. */
bool ext4_is_empty(int fd);

/*
 * Formats the device behind `fd`, of `size_bytes`. `identity` are 32 random bytes: UUID and the seed of folder hashes;
 * `seconds` since 1970 is the time of everything. Returns 0 or an errno: ERANGE for a size out of bounds.
 */
int ext4_format(int fd, uint64_t size_bytes, const uint8_t identity[32], uint32_t seconds);

#endif
