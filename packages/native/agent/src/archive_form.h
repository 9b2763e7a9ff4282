/*
 * Headers of tar archives: read as GNU, POSIX (pax) and older programs write them, written as POSIX says.
 *
 *   [ pax header | its records, padded ]   header   content, padded     blocks of 512 bytes; two empty ones are the end
 *
 * Pax records hold what does not fit into a header: long names, large numbers, fractions of seconds.
 */
#ifndef STILLPOINT_ARCHIVE_FORM_H
#define STILLPOINT_ARCHIVE_FORM_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	ARCHIVE_BLOCK_BYTES = 512,
	/* Maximum bytes of the records before an entry's header. */
	ARCHIVE_RECORDS_MAX = 128 * 1024,
	/* Maximum bytes of the headers that are written for one entry. */
	ARCHIVE_HEADERS_MAX = 4 * ARCHIVE_BLOCK_BYTES + 2 * PATH_MAX + 512,
};

/* The types of a header. */
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

/* The contents of the records for the entry that follows. */
struct archive_records {
	bool has_path, has_target, has_size, has_uid, has_gid, has_time;
	char path[PATH_MAX], target[PATH_MAX];
	uint64_t size;
	uint32_t uid, gid;
	int64_t seconds;
	uint32_t nanos;
};

bool archive_is_end(const uint8_t block[ARCHIVE_BLOCK_BYTES]);

/* Parses one header. Returns null, or the problem. */
const char *archive_read_header(const uint8_t block[ARCHIVE_BLOCK_BYTES], struct archive_entry *entry);

/* Parses pax records; irrelevant ones are skipped. Returns null, or the problem. */
const char *archive_read_records(const uint8_t *bytes, size_t length, struct archive_records *records);

/* Applies records to the entry; a file whose path then ends in `/` is a directory. */
void archive_apply(const struct archive_records *records, struct archive_entry *entry);

/* A path in its simplest form; empty for the directory itself. Returns null, or the problem. */
const char *archive_plain_path(const char *path, char plain[PATH_MAX]);

/* Writes the headers of an entry; their length, of whole blocks. */
size_t archive_write_headers(const struct archive_entry *entry, uint8_t bytes[ARCHIVE_HEADERS_MAX]);

#endif
