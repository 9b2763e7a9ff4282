/*
 * The control protocol's frames.
 *
 *   offset  size  field
 *        0     4  length   little endian; counts the type byte and the payload
 *        4     1  type     below 0x80 guest to host, from 0x80 host to guest
 *        5   n-1  payload  fields in order, without padding
 *
 *   str, bytes   u32 length, then that many bytes
 *   list<str>    u32 count, then that many str
 *   T?           u8 0 (absent), or u8 1 and T
 *
 * The frames, their fields and numbers are in contract.h, which is generated.
 *
 * Nothing here does input or output, so the same code is tested on the host.
 */
#ifndef STILLPOINT_FRAME_H
#define STILLPOINT_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "contract.h"

/* The largest length field that either side accepts, and the bytes such a frame occupies. */
enum { FRAME_LENGTH_MAX = LIMIT_FRAME_BYTES, FRAME_BYTES_MAX = FRAME_LENGTH_MAX + 4 };

/* A borrowed run of bytes inside a frame. */
struct slice {
	const uint8_t *data;
	uint32_t length;
};

/* Strings copied out of a frame: one allocation, `items` ends with a null pointer. */
struct string_list {
	char **items;
	uint32_t count;
};

/* Builds one frame in the caller's buffer. frame_end refuses one that does not fit. */
struct frame_writer {
	uint8_t *bytes;
	size_t capacity;
	size_t length;
	bool overflow;
};

void frame_begin(struct frame_writer *writer, uint8_t *bytes, size_t capacity, uint8_t type);
void frame_put_u8(struct frame_writer *writer, uint8_t value);
void frame_put_u16(struct frame_writer *writer, uint16_t value);
void frame_put_u32(struct frame_writer *writer, uint32_t value);
void frame_put_i32(struct frame_writer *writer, int32_t value);
void frame_put_u64(struct frame_writer *writer, uint64_t value);
void frame_put_bytes(struct frame_writer *writer, const void *data, size_t length);
void frame_put_str(struct frame_writer *writer, const char *text);
/* An absent value, or the mark before a present one. */
void frame_put_absent(struct frame_writer *writer);
void frame_put_present(struct frame_writer *writer);
void frame_put_list(struct frame_writer *writer, char *const *items);
/* Fills in the length. Returns the frame's size in bytes, 0 when it did not fit. */
size_t frame_end(struct frame_writer *writer);

/* Reads a payload. After a missing field, every read gives zero and `failed` stays set. */
struct frame_reader {
	const uint8_t *bytes;
	size_t length;
	size_t offset;
	bool failed;
};

uint8_t frame_get_u8(struct frame_reader *reader);
uint16_t frame_get_u16(struct frame_reader *reader);
uint32_t frame_get_u32(struct frame_reader *reader);
int32_t frame_get_i32(struct frame_reader *reader);
uint64_t frame_get_u64(struct frame_reader *reader);
struct slice frame_get_bytes(struct frame_reader *reader);
/* A copied, null-terminated string to be freed; null on a short payload, an embedded NUL, or no memory. */
char *frame_get_str(struct frame_reader *reader);
/* Copies a list; `items` is null after a failure. Free it with string_list_free. */
struct string_list frame_get_list(struct frame_reader *reader);
void string_list_free(struct string_list *list);
/* True when every field was there and nothing is left over. */
bool frame_reader_complete(const struct frame_reader *reader);

/* Cuts a byte stream into frames. */
struct frame_decoder {
	uint8_t buffer[FRAME_BYTES_MAX];
	size_t filled;
	size_t consumed;
};

enum decode_result {
	DECODE_MORE,       /* no whole frame yet */
	DECODE_FRAME,      /* `type` and `payload` are set; valid until the next push */
	DECODE_BAD_LENGTH, /* the stream cannot be followed any further; reset it */
};

void frame_decoder_reset(struct frame_decoder *decoder);
/* Room for more input, and its place; report written bytes with frame_decoder_filled. */
size_t frame_decoder_space(struct frame_decoder *decoder, uint8_t **into);
void frame_decoder_filled(struct frame_decoder *decoder, size_t length);
enum decode_result frame_decoder_next(struct frame_decoder *decoder, uint8_t *type, struct slice *payload);
/* True when bytes of an incomplete frame are waiting. */
bool frame_decoder_partial(const struct frame_decoder *decoder);

#endif
