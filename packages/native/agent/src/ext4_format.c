#include "ext4_format.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

enum {
	BLOCK = 4096,
	GROUP_BLOCKS = 32768,
	GROUP_INODES = 8192,
	INODE = 256,
	TABLE_BLOCKS = GROUP_INODES * INODE / BLOCK,
	DESCRIPTOR = 32,
	ROOT_INODE = 2,
	JOURNAL_INODE = 8,
	FIRST_INODE = 11, /* the first that is not reserved */
	EMPTY_BYTES = 1 << 20,
};

/* Flags of a group: its inodes, its blocks are all free and their bitmap is not written; its inode table holds zeros. */
enum { INODE_UNINIT = 1, BLOCK_UNINIT = 2, INODE_ZEROED = 4 };

struct layout {
	int fd;
	const uint8_t *identity;
	uint32_t seconds;
	uint32_t blocks, groups, descriptor_blocks, journal_blocks;
	uint32_t root_block, journal_block, first_free; /* in group 0 */
	uint8_t block[BLOCK];
};

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)value;
	at[1] = (uint8_t)(value >> 8);
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, value);
	put16(at + 2, value >> 16);
}

static void put32_big(uint8_t *at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> (24 - 8 * i));
}

static uint16_t crc16(uint16_t crc, const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = (uint16_t)(crc & 1 ? crc >> 1 ^ 0xa001 : crc >> 1);
	}
	return crc;
}

static int write_at(const struct layout *layout, const void *bytes, size_t length, uint64_t offset)
{
	const uint8_t *at = bytes;

	while (length > 0) {
		ssize_t put = pwrite(layout->fd, at, length, (off_t)offset);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return put < 0 ? errno : EIO;
		at += put;
		offset += (uint64_t)put;
		length -= (size_t)put;
	}
	return 0;
}

static int write_block(const struct layout *layout, uint32_t block)
{
	return write_at(layout, layout->block, BLOCK, (uint64_t)block * BLOCK);
}

static bool is_power(uint32_t number, uint32_t base)
{
	while (number % base == 0)
		number /= base;
	return number == 1;
}

/* Whether the group has copies of superblock and descriptors. */
static bool has_copies(uint32_t group)
{
	return group < 2 || is_power(group, 3) || is_power(group, 5) || is_power(group, 7);
}

static uint32_t blocks_of(const struct layout *layout, uint32_t group)
{
	uint32_t start = group * GROUP_BLOCKS;

	return layout->blocks - start < GROUP_BLOCKS ? layout->blocks - start : GROUP_BLOCKS;
}

/* The place of the group's block bitmap; its inode bitmap and inode table follow. */
static uint32_t bitmap_of(const struct layout *layout, uint32_t group)
{
	return group * GROUP_BLOCKS + (has_copies(group) ? 1 + layout->descriptor_blocks : 0);
}

/* Blocks that the group's own structures take. */
static uint32_t overhead_of(const struct layout *layout, uint32_t group)
{
	return bitmap_of(layout, group) - group * GROUP_BLOCKS + 2 + TABLE_BLOCKS;
}

static uint32_t free_blocks_of(const struct layout *layout, uint32_t group)
{
	return blocks_of(layout, group) - (group == 0 ? layout->first_free : overhead_of(layout, group));
}

static int plan(struct layout *layout, uint64_t size_bytes)
{
	if (size_bytes < EXT4_LEAST_BYTES || size_bytes > EXT4_MOST_BYTES)
		return ERANGE;
	layout->blocks = (uint32_t)(size_bytes / BLOCK);
	layout->groups = (layout->blocks + GROUP_BLOCKS - 1) / GROUP_BLOCKS;
	layout->descriptor_blocks = (layout->groups * DESCRIPTOR + BLOCK - 1) / BLOCK;
	/* A last group that holds little more than its own structures is left out. */
	if (layout->groups > 1 && blocks_of(layout, layout->groups - 1) < overhead_of(layout, layout->groups - 1) + 64) {
		layout->groups--;
		layout->blocks = layout->groups * GROUP_BLOCKS;
		layout->descriptor_blocks = (layout->groups * DESCRIPTOR + BLOCK - 1) / BLOCK;
	}
	layout->journal_blocks = layout->blocks / 32;
	if (layout->journal_blocks < 1024)
		layout->journal_blocks = 1024;
	if (layout->journal_blocks > 8192)
		layout->journal_blocks = 8192;
	layout->root_block = overhead_of(layout, 0);
	layout->journal_block = layout->root_block + 1;
	layout->first_free = layout->journal_block + layout->journal_blocks;
	return layout->first_free + 16 > blocks_of(layout, 0) ? ERANGE : 0;
}

static void superblock(struct layout *layout, uint32_t group, uint64_t free_blocks)
{
	uint8_t *at = layout->block + (group == 0 ? 1024 : 0);

	memset(layout->block, 0, BLOCK);
	put32(at + 0x00, layout->groups * GROUP_INODES);
	put32(at + 0x04, layout->blocks);
	put32(at + 0x08, layout->blocks / 50); /* kept for uid 0 */
	put32(at + 0x0c, (uint32_t)free_blocks);
	put32(at + 0x10, layout->groups * GROUP_INODES - (FIRST_INODE - 1));
	put32(at + 0x18, 2); /* blocks of 1024 << 2 */
	put32(at + 0x1c, 2);
	put32(at + 0x20, GROUP_BLOCKS);
	put32(at + 0x24, GROUP_BLOCKS);
	put32(at + 0x28, GROUP_INODES);
	put32(at + 0x30, layout->seconds);
	put16(at + 0x36, 0xffff); /* any number of mounts before a check */
	put16(at + 0x38, 0xef53);
	put16(at + 0x3a, 1); /* clean */
	put16(at + 0x3c, 1); /* errors: go on */
	put32(at + 0x40, layout->seconds);
	put32(at + 0x4c, 1); /* inodes of any size */
	put32(at + 0x54, FIRST_INODE);
	put16(at + 0x58, INODE);
	put16(at + 0x5a, group);
	put32(at + 0x5c, 0x4 | 0x8 | 0x20);	    /* journal, extended attributes, folder index */
	put32(at + 0x60, 0x2 | 0x40);		    /* types of entries, extents */
	put32(at + 0x64, 0x1 | 0x2 | 0x8 | 0x10 | 0x20 | 0x40); /* sparse copies, large and huge files, group checksums, many links, large inodes */
	memcpy(at + 0x68, layout->identity, 16);
	put32(at + 0xe0, JOURNAL_INODE);
	memcpy(at + 0xec, layout->identity + 16, 16);
	at[0xfc] = 1; /* folder hash: half of MD4 */
	put32(at + 0x100, 0x4 | 0x8); /* default options: extended attributes, access control lists */
	put32(at + 0x108, layout->seconds);
	put16(at + 0x15c, 32); /* of each inode, reserved beyond 128 bytes */
	put16(at + 0x15e, 32);
	put32(at + 0x160, 0x2); /* characters are unsigned */
}

static void descriptor(const struct layout *layout, uint32_t group, uint8_t at[DESCRIPTOR])
{
	uint32_t bitmap = bitmap_of(layout, group);
	uint32_t used_inodes = group == 0 ? FIRST_INODE - 1 : 0;
	uint8_t number[4];

	memset(at, 0, DESCRIPTOR);
	put32(at + 0x00, bitmap);
	put32(at + 0x04, bitmap + 1);
	put32(at + 0x08, bitmap + 2);
	put16(at + 0x0c, free_blocks_of(layout, group));
	put16(at + 0x0e, GROUP_INODES - used_inodes);
	put16(at + 0x10, group == 0 ? 1 : 0);
	/* The last group may be short: its bitmap says so, and is always written. */
	put16(at + 0x12, group == 0 ? INODE_ZEROED
			 : group == layout->groups - 1 ? INODE_UNINIT | INODE_ZEROED
						       : INODE_UNINIT | BLOCK_UNINIT | INODE_ZEROED);
	put16(at + 0x1c, GROUP_INODES - used_inodes);
	put32(number, group);
	uint16_t sum = crc16(crc16(0xffff, layout->identity, 16), number, 4);
	put16(at + 0x1e, crc16(sum, at, 0x1e));
}

static int write_descriptors(struct layout *layout, uint32_t first_block)
{
	for (uint32_t i = 0; i < layout->descriptor_blocks; i++) {
		memset(layout->block, 0, BLOCK);
		for (uint32_t j = 0; j < BLOCK / DESCRIPTOR && i * (BLOCK / DESCRIPTOR) + j < layout->groups; j++)
			descriptor(layout, i * (BLOCK / DESCRIPTOR) + j, layout->block + j * DESCRIPTOR);
		int error = write_block(layout, first_block + i);
		if (error)
			return error;
	}
	return 0;
}

static void set_bits(uint8_t *bitmap, uint32_t from, uint32_t to)
{
	for (; from < to; from++)
		bitmap[from / 8] |= (uint8_t)(1 << from % 8);
}

static int write_bitmaps(struct layout *layout, uint32_t group)
{
	memset(layout->block, 0, BLOCK);
	set_bits(layout->block, 0, group == 0 ? layout->first_free : overhead_of(layout, group));
	set_bits(layout->block, blocks_of(layout, group), GROUP_BLOCKS);
	int error = write_block(layout, bitmap_of(layout, group));
	if (error || group != 0)
		return error;
	memset(layout->block, 0, BLOCK);
	set_bits(layout->block, 0, FIRST_INODE - 1);
	set_bits(layout->block, GROUP_INODES, 8 * BLOCK);
	return write_block(layout, bitmap_of(layout, group) + 1);
}

/* An inode of `blocks` blocks in one run. */
static int write_inode(struct layout *layout, uint32_t number, uint32_t mode, uint32_t links, uint32_t start, uint32_t blocks)
{
	uint8_t *at = layout->block;

	memset(at, 0, INODE);
	put16(at + 0x00, mode);
	put32(at + 0x04, blocks * BLOCK);
	for (size_t time = 0x08; time < 0x14; time += 4)
		put32(at + time, layout->seconds);
	put16(at + 0x1a, links);
	put32(at + 0x1c, blocks * (BLOCK / 512));
	put32(at + 0x20, 0x80000); /* extents */
	put16(at + 0x28, 0xf30a);
	put16(at + 0x2a, 1);
	put16(at + 0x2c, 4);
	put16(at + 0x38, blocks); /* extent: logical block 0 */
	put32(at + 0x3c, start);
	put16(at + 0x80, 32);
	put32(at + 0x90, layout->seconds);
	return write_at(layout, at, INODE, (uint64_t)(bitmap_of(layout, 0) + 2) * BLOCK + (uint64_t)(number - 1) * INODE);
}

static uint8_t *entry(uint8_t *at, const char *name, uint32_t length)
{
	put32(at, ROOT_INODE);
	put16(at + 4, length);
	at[6] = (uint8_t)strlen(name);
	at[7] = 2; /* a folder */
	memcpy(at + 8, name, strlen(name));
	return at + length;
}

static int write_root(struct layout *layout)
{
	memset(layout->block, 0, BLOCK);
	entry(entry(layout->block, ".", 12), "..", BLOCK - 12);
	int error = write_block(layout, layout->root_block);
	return error ? error : write_inode(layout, ROOT_INODE, 0x41ed, 2, layout->root_block, 1);
}

static int write_journal(struct layout *layout)
{
	uint8_t *at = layout->block;

	memset(at, 0, BLOCK);
	put32_big(at + 0x00, 0xc03b3998);
	put32_big(at + 0x04, 4); /* superblock, version 2 */
	put32_big(at + 0x0c, BLOCK);
	put32_big(at + 0x10, layout->journal_blocks);
	put32_big(at + 0x14, 1); /* first block of the log */
	put32_big(at + 0x18, 1); /* first transaction; the log is empty */
	put32_big(at + 0x40, 1);
	memcpy(at + 0x30, layout->identity, 16);
	int error = write_block(layout, layout->journal_block);
	return error ? error : write_inode(layout, JOURNAL_INODE, 0x8180, 1, layout->journal_block, layout->journal_blocks);
}

bool ext4_is_empty(int fd)
{
	static const uint8_t zeros[BLOCK];
	uint8_t bytes[BLOCK];

	for (off_t at = 0; at < EMPTY_BYTES; at += BLOCK) {
		if (pread(fd, bytes, BLOCK, at) != BLOCK || memcmp(bytes, zeros, BLOCK) != 0)
			return false;
	}
	return true;
}

int ext4_format(int fd, uint64_t size_bytes, const uint8_t identity[32], uint32_t seconds)
{
	struct layout layout = { .fd = fd, .identity = identity, .seconds = seconds };
	uint64_t free_blocks = 0;
	int error = plan(&layout, size_bytes);

	for (uint32_t group = 0; !error && group < layout.groups; group++)
		free_blocks += free_blocks_of(&layout, group);
	if (!error)
		error = write_root(&layout);
	if (!error)
		error = write_journal(&layout);
	if (!error && layout.groups > 1)
		error = write_bitmaps(&layout, layout.groups - 1);
	/* The file system's signature comes last, and at once: until then the device is empty. */
	for (uint32_t group = layout.groups; !error && group-- > 0;) {
		if (!has_copies(group))
			continue;
		if (group == 0 && fsync(fd) < 0)
			return errno;
		if (group == 0)
			error = write_bitmaps(&layout, 0);
		if (!error)
			error = write_descriptors(&layout, group * GROUP_BLOCKS + 1);
		superblock(&layout, group, free_blocks);
		if (!error)
			error = write_block(&layout, group * GROUP_BLOCKS);
	}
	if (!error && fsync(fd) < 0)
		error = errno;
	return error;
}
