#include "archive_form.h"

#include <stdio.h>
#include <string.h>

/* The offsets and lengths of a header's fields. */
enum {
	NAME_AT = 0, NAME_BYTES = 100,
	MODE_AT = 100, ID_BYTES = 8,
	UID_AT = 108,
	GID_AT = 116,
	SIZE_AT = 124, LONG_BYTES = 12,
	TIME_AT = 136,
	CHECK_AT = 148,
	TYPE_AT = 156,
	TARGET_AT = 157,
	MAGIC_AT = 257,
	MAJOR_AT = 329,
	MINOR_AT = 337,
	PREFIX_AT = 345, PREFIX_BYTES = 155,
};

static const uint64_t SIZE_IN_HEADER = UINT64_C(077777777777);
static const uint32_t ID_IN_HEADER = 07777777;

static uint32_t sum_of(const uint8_t block[ARCHIVE_BLOCK_BYTES])
{
	uint32_t sum = 0;

	for (size_t at = 0; at < ARCHIVE_BLOCK_BYTES; at++)
		sum += at >= CHECK_AT && at < CHECK_AT + ID_BYTES ? ' ' : block[at];
	return sum;
}

bool archive_is_end(const uint8_t block[ARCHIVE_BLOCK_BYTES])
{
	for (size_t at = 0; at < ARCHIVE_BLOCK_BYTES; at++) {
		if (block[at])
			return false;
	}
	return true;
}

/* A number in octal, or in binary where its first bit is set. */
static bool read_number(const uint8_t *field, size_t length, int64_t *value)
{
	uint64_t number = 0;

	if (field[0] & 0x80) {
		bool negative = field[0] & 0x40;
		number = negative ? ~UINT64_C(0) << 6 : 0;
		number |= field[0] & 0x3f;
		for (size_t at = 1; at < length; at++) {
			/* The bits that are shifted out must be the sign. */
			uint64_t top = number >> 55;
			if (top != (negative ? UINT64_C(0x1ff) : 0))
				return false;
			number = number << 8 | field[at];
		}
		*value = (int64_t)number;
		return true;
	}
	size_t at = 0;
	while (at < length && field[at] == ' ')
		at++;
	for (; at < length && field[at] != ' ' && field[at]; at++) {
		if (field[at] < '0' || field[at] > '7')
			return false;
		number = number << 3 | (uint64_t)(field[at] - '0');
	}
	*value = (int64_t)number;
	return true;
}

static bool read_id(const uint8_t *field, uint32_t *value)
{
	int64_t number;

	if (!read_number(field, ID_BYTES, &number) || number < 0 || number > UINT32_MAX)
		return false;
	*value = (uint32_t)number;
	return true;
}

static bool read_kind(uint8_t type, enum archive_kind *kind)
{
	switch (type) {
	case 0:
	case '0':
	case '7':
		*kind = ARCHIVE_FILE;
		return true;
	case '1':
		*kind = ARCHIVE_HARD_LINK;
		return true;
	case '2':
		*kind = ARCHIVE_LINK;
		return true;
	case '3':
		*kind = ARCHIVE_CHARACTER_DEVICE;
		return true;
	case '4':
		*kind = ARCHIVE_BLOCK_DEVICE;
		return true;
	case '5':
		*kind = ARCHIVE_DIRECTORY;
		return true;
	case '6':
		*kind = ARCHIVE_PIPE;
		return true;
	case 'x':
	case 'X':
		*kind = ARCHIVE_RECORDS;
		return true;
	case 'g':
		*kind = ARCHIVE_RECORDS_OF_ALL;
		return true;
	case 'L':
		*kind = ARCHIVE_LONG_PATH;
		return true;
	case 'K':
		*kind = ARCHIVE_LONG_TARGET;
		return true;
	default:
		return false;
	}
}

const char *archive_read_header(const uint8_t block[ARCHIVE_BLOCK_BYTES], struct archive_entry *entry)
{
	int64_t sum, size;

	if (!read_number(block + CHECK_AT, ID_BYTES, &sum) || sum != sum_of(block))
		return "expected a header, found another checksum";
	if (!read_kind(block[TYPE_AT], &entry->kind))
		return "expected a file, a directory, a link, a pipe or a device, found another type";
	if (!read_number(block + SIZE_AT, LONG_BYTES, &size) || size < 0)
		return "expected a size, found none";
	if (!read_number(block + TIME_AT, LONG_BYTES, &entry->seconds))
		return "expected a time, found none";
	if (!read_id(block + MODE_AT, &entry->mode) || !read_id(block + UID_AT, &entry->uid) ||
	    !read_id(block + GID_AT, &entry->gid))
		return "expected a mode and owners, found none";
	entry->mode &= 07777;
	entry->size = (uint64_t)size;
	entry->nanos = 0;
	entry->device_major = 0;
	entry->device_minor = 0;
	bool is_device = entry->kind == ARCHIVE_CHARACTER_DEVICE || entry->kind == ARCHIVE_BLOCK_DEVICE;
	if (is_device && (!read_id(block + MAJOR_AT, &entry->device_major) || !read_id(block + MINOR_AT, &entry->device_minor)))
		return "expected a device's numbers, found none";
	/* GNU headers have other fields in place of the prefix of POSIX. */
	bool has_prefix = memcmp(block + MAGIC_AT, "ustar\0", 6) == 0 && block[PREFIX_AT];
	snprintf(entry->path, sizeof(entry->path), "%.*s%s%.*s", has_prefix ? PREFIX_BYTES : 0, (const char *)block + PREFIX_AT,
		 has_prefix ? "/" : "", NAME_BYTES, (const char *)block + NAME_AT);
	snprintf(entry->target, sizeof(entry->target), "%.*s", NAME_BYTES, (const char *)block + TARGET_AT);
	return NULL;
}

/* A text of digits. */
static bool read_digits(const char *text, size_t length, uint64_t most, uint64_t *value)
{
	*value = 0;
	for (size_t at = 0; at < length; at++) {
		if (text[at] < '0' || text[at] > '9' || *value > (most - (uint64_t)(text[at] - '0')) / 10)
			return false;
		*value = *value * 10 + (uint64_t)(text[at] - '0');
	}
	return length > 0;
}

/* Seconds and their parts, as `-12.34`. */
static bool read_time(const char *text, size_t length, int64_t *seconds, uint32_t *nanos)
{
	bool negative = length > 0 && text[0] == '-';
	uint64_t whole;
	const char *end = text + length;
	const char *point = memchr(text, '.', length);

	text += negative;
	if (!read_digits(text, (size_t)((point ? point : end) - text), INT64_MAX / 2, &whole))
		return false;
	*nanos = 0;
	uint32_t scale = 100000000;
	for (const char *at = point ? point + 1 : end; at < end; at++, scale /= 10) {
		if (*at < '0' || *at > '9')
			return false;
		*nanos += scale * (uint32_t)(*at - '0');
	}
	*seconds = negative ? -(int64_t)whole : (int64_t)whole;
	if (negative && *nanos > 0) {
		*seconds -= 1;
		*nanos = 1000000000 - *nanos;
	}
	return true;
}

static bool read_text(const char *text, size_t length, char into[PATH_MAX])
{
	if (length == 0 || length >= PATH_MAX || memchr(text, 0, length))
		return false;
	memcpy(into, text, length);
	into[length] = 0;
	return true;
}

static bool is_key(const char *key, size_t length, const char *name)
{
	return strlen(name) == length && memcmp(key, name, length) == 0;
}

static const char *read_record(const char *key, size_t key_length, const char *value, size_t length,
			       struct archive_records *records)
{
	uint64_t number;

	if (is_key(key, key_length, "path")) {
		records->has_path = true;
		return read_text(value, length, records->path) ? NULL : "expected a path of 1 to 4095 bytes, found another";
	}
	if (is_key(key, key_length, "linkpath")) {
		records->has_target = true;
		return read_text(value, length, records->target) ? NULL : "expected a target of 1 to 4095 bytes, found another";
	}
	if (is_key(key, key_length, "size")) {
		records->has_size = true;
		return read_digits(value, length, INT64_MAX, &records->size) ? NULL : "expected a size, found another record";
	}
	if (is_key(key, key_length, "uid") || is_key(key, key_length, "gid")) {
		bool is_user = key[0] == 'u';
		if (!read_digits(value, length, UINT32_MAX, &number))
			return "expected a number of an owner, found another record";
		*(is_user ? &records->has_uid : &records->has_gid) = true;
		*(is_user ? &records->uid : &records->gid) = (uint32_t)number;
		return NULL;
	}
	if (is_key(key, key_length, "mtime")) {
		records->has_time = true;
		return read_time(value, length, &records->seconds, &records->nanos) ? NULL : "expected a time, found another record";
	}
	if (key_length >= 11 && memcmp(key, "GNU.sparse.", 11) == 0)
		return "expected files as they are, found one with holes left out";
	return NULL;
}

const char *archive_read_records(const uint8_t *bytes, size_t length, struct archive_records *records)
{
	static const char wrong[] = "expected records, found something else";
	const char *at = (const char *)bytes;
	const char *end = at + length;

	while (at < end) {
		const char *space = memchr(at, ' ', (size_t)(end - at));
		uint64_t own;
		if (!space || !read_digits(at, (size_t)(space - at), (uint64_t)(end - at), &own))
			return wrong;
		const char *next = at + own;
		const char *equals = next > space ? memchr(space, '=', (size_t)(next - space)) : NULL;
		if (!equals || next[-1] != '\n')
			return wrong;
		const char *problem =
			read_record(space + 1, (size_t)(equals - space - 1), equals + 1, (size_t)(next - equals - 2), records);
		if (problem)
			return problem;
		at = next;
	}
	return NULL;
}

void archive_apply(const struct archive_records *records, struct archive_entry *entry)
{
	if (records->has_path)
		strcpy(entry->path, records->path);
	if (records->has_target)
		strcpy(entry->target, records->target);
	if (records->has_size)
		entry->size = records->size;
	if (records->has_uid)
		entry->uid = records->uid;
	if (records->has_gid)
		entry->gid = records->gid;
	if (records->has_time) {
		entry->seconds = records->seconds;
		entry->nanos = records->nanos;
	}
	/* From before directories had a type. The header's name may be the beginning of a long one. */
	size_t length = strlen(entry->path);
	if (entry->kind == ARCHIVE_FILE && length > 0 && entry->path[length - 1] == '/')
		entry->kind = ARCHIVE_DIRECTORY;
}

const char *archive_plain_path(const char *path, char plain[PATH_MAX])
{
	size_t length = 0;

	if (path[0] == '/')
		return "expected a path below the directory, found an absolute one";
	for (const char *at = path; *at;) {
		size_t part = strcspn(at, "/");
		if (part == 2 && memcmp(at, "..", 2) == 0)
			return "expected a path below the directory, found one with ..";
		if (part > NAME_MAX)
			return "expected names of at most 255 bytes, found a longer one";
		if (part > 0 && !(part == 1 && at[0] == '.')) {
			if (length + part + 2 > PATH_MAX)
				return "expected a path of at most 4095 bytes, found a longer one";
			if (length > 0)
				plain[length++] = '/';
			memcpy(plain + length, at, part);
			length += part;
		}
		at += part;
		at += strspn(at, "/");
	}
	plain[length] = 0;
	return NULL;
}

static void put_octal(uint8_t *field, size_t length, uint64_t value)
{
	for (size_t at = length - 1; at-- > 0; value >>= 3)
		field[at] = (uint8_t)('0' + (value & 7));
}

static void put_header(uint8_t block[ARCHIVE_BLOCK_BYTES], const struct archive_entry *entry, char type, uint64_t size)
{
	size_t path_length = strlen(entry->path), target_length = strlen(entry->target);
	/* A reader may take a file whose name here ends in `/` for a directory, whatever the preceding record says. */
	size_t name_length = path_length <= NAME_BYTES ? path_length : NAME_BYTES - (entry->path[NAME_BYTES - 1] == '/');
	uint8_t whole_seconds = entry->seconds >= 0 && (uint64_t)entry->seconds <= SIZE_IN_HEADER;

	memset(block, 0, ARCHIVE_BLOCK_BYTES);
	memcpy(block + NAME_AT, entry->path, name_length);
	memcpy(block + TARGET_AT, entry->target, target_length < NAME_BYTES ? target_length : NAME_BYTES);
	put_octal(block + MODE_AT, ID_BYTES, entry->mode);
	put_octal(block + UID_AT, ID_BYTES, entry->uid <= ID_IN_HEADER ? entry->uid : 0);
	put_octal(block + GID_AT, ID_BYTES, entry->gid <= ID_IN_HEADER ? entry->gid : 0);
	put_octal(block + SIZE_AT, LONG_BYTES, size <= SIZE_IN_HEADER ? size : 0);
	put_octal(block + TIME_AT, LONG_BYTES, whole_seconds ? (uint64_t)entry->seconds : 0);
	put_octal(block + MAJOR_AT, ID_BYTES, entry->device_major);
	put_octal(block + MINOR_AT, ID_BYTES, entry->device_minor);
	block[TYPE_AT] = (uint8_t)type;
	memcpy(block + MAGIC_AT, "ustar\0" "00", 8);
	put_octal(block + CHECK_AT, ID_BYTES - 1, sum_of(block));
	block[CHECK_AT + 7] = ' ';
}

/* Adds a record; its length counts its own digits. */
static size_t put_record(char *into, const char *key, const char *value)
{
	size_t rest = strlen(key) + strlen(value) + 3;
	size_t length = rest + 1;

	for (size_t before = 0; before != length;) {
		before = length;
		length = rest + (size_t)snprintf(NULL, 0, "%zu", before);
	}
	return (size_t)sprintf(into, "%zu %s=%s\n", length, key, value);
}

size_t archive_write_headers(const struct archive_entry *entry, uint8_t bytes[ARCHIVE_HEADERS_MAX])
{
	char *records = (char *)bytes + ARCHIVE_BLOCK_BYTES;
	size_t length = 0;
	char number[48];

	if (strlen(entry->path) > NAME_BYTES)
		length += put_record(records + length, "path", entry->path);
	if (strlen(entry->target) > NAME_BYTES)
		length += put_record(records + length, "linkpath", entry->target);
	if (entry->size > SIZE_IN_HEADER) {
		snprintf(number, sizeof(number), "%llu", (unsigned long long)entry->size);
		length += put_record(records + length, "size", number);
	}
	if (entry->uid > ID_IN_HEADER) {
		snprintf(number, sizeof(number), "%u", (unsigned)entry->uid);
		length += put_record(records + length, "uid", number);
	}
	if (entry->gid > ID_IN_HEADER) {
		snprintf(number, sizeof(number), "%u", (unsigned)entry->gid);
		length += put_record(records + length, "gid", number);
	}
	if (entry->nanos > 0 || entry->seconds < 0 || (uint64_t)entry->seconds > SIZE_IN_HEADER) {
		/* Before 1970 the parts of a second go the other way. */
		bool turned = entry->seconds < 0 && entry->nanos > 0;
		int64_t seconds = turned ? entry->seconds + 1 : entry->seconds;
		uint32_t nanos = turned ? 1000000000 - entry->nanos : entry->nanos;
		snprintf(number, sizeof(number), "%s%lld.%09u", turned && seconds == 0 ? "-" : "", (long long)seconds, (unsigned)nanos);
		length += put_record(records + length, "mtime", number);
	}
	size_t at = 0;
	if (length > 0) {
		struct archive_entry own = { .path = "././@PaxHeader", .mode = 0644 };
		at = ARCHIVE_BLOCK_BYTES + (length + ARCHIVE_BLOCK_BYTES - 1) / ARCHIVE_BLOCK_BYTES * ARCHIVE_BLOCK_BYTES;
		memset(records + length, 0, at - ARCHIVE_BLOCK_BYTES - length);
		put_header(bytes, &own, 'x', length);
	}
	put_header(bytes + at, entry, "0123456"[entry->kind], entry->size);
	return at + ARCHIVE_BLOCK_BYTES;
}
