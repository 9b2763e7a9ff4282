/*
 * Headers of tar archives: read as GNU, POSIX (pax) and older programs write them, written as POSIX says.
 *
 *   [ pax header | its records, padded ]   header   content, padded     blocks of 512 bytes; two empty ones are the end
 *
 * Pax records say what does not fit into a header: long names, large numbers, parts of seconds.
 */
#ifndef STILLPOINT_ARCHIVE_FORM_H
#define STILLPOINT_ARCHIVE_FORM_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	ARCHIVE_BLOCK_BYTES = 512,
	/* Most bytes of what stands before an entry's header. */
	ARCHIVE_RECORDS_MAX = 128 * 1024,
	/* Most bytes of the headers that are written for one entry. */
	ARCHIVE_HEADERS_MAX = 4 * ARCHIVE_BLOCK_BYTES + 2 * PATH_MAX + 512,
};

/* What the type of a header says. */
enum archive_kind {
	ARCHIVE_FILE,
	ARCHIVE_HARD_LINK,
	ARCHIVE_LINK,
	ARCHIVE_CHARACTER_DEVICE,
	ARCHIVE_BLOCK_DEVICE,
	ARCHIVE_DIRECTORY,
	ARCHIVE_PIPE,
	/* Records for the next entry, or for all that follow; a long name; a long target. */
	ARCHIVE_RECORDS,
	ARCHIVE_RECORDS_OF_ALL,
	ARCHIVE_LONG_PATH,
	ARCHIVE_LONG_TARGET,
};

struct archive_entry {
	enum archive_kind kind;
	char path[PATH_MAX], target[PATH_MAX];
	uint32_t mode, uid, gid;
	uint64_t size;
	int64_t seconds;
	uint32_t nanos;
	uint32_t device_major, device_minor;
};

/* What records say of the entry that follows. */
struct archive_records {
	bool has_path, has_target, has_size, has_uid, has_gid, has_time;
	char path[PATH_MAX], target[PATH_MAX];
	uint64_t size;
	uint32_t uid, gid;
	int64_t seconds;
	uint32_t nanos;
};

bool archive_is_end(const uint8_t block[ARCHIVE_BLOCK_BYTES]);

/* Reads one header. Returns null, or what is wrong with it. */
const char *archive_read_header(const uint8_t block[ARCHIVE_BLOCK_BYTES], struct archive_entry *entry);

/* Reads pax records; what concerns nobody here is passed over. Returns null, or what is wrong with them. */
const char *archive_read_records(const uint8_t *bytes, size_t length, struct archive_records *records);

/* Has what records say stand in the entry; a file whose path then ends in `/` is a directory. */
void archive_apply(const struct archive_records *records, struct archive_entry *entry);

/* A path without what means nothing in it; empty for the directory itself. Returns null, or what is wrong with it. */
const char *archive_plain_path(const char *path, char plain[PATH_MAX]);

/* Writes the headers of an entry; their length, of whole blocks. */
size_t archive_write_headers(const struct archive_entry *entry, uint8_t bytes[ARCHIVE_HEADERS_MAX]);

#endif
