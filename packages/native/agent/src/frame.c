#include "frame.h"

#include <stdlib.h>
#include <string.h>

void frame_begin(struct frame_writer *writer, uint8_t *bytes, size_t capacity, uint8_t type)
{
	writer->bytes = bytes;
	writer->capacity = capacity < FRAME_BYTES_MAX ? capacity : FRAME_BYTES_MAX;
	writer->length = 0;
	writer->overflow = false;
	frame_put_u32(writer, 0);
	frame_put_u8(writer, type);
}

static void put_raw(struct frame_writer *writer, const void *data, size_t length)
{
	if (writer->overflow || length > writer->capacity - writer->length) {
		writer->overflow = true;
		return;
	}
	if (length > 0)
		memcpy(writer->bytes + writer->length, data, length);
	writer->length += length;
}

static void put_integer(struct frame_writer *writer, uint64_t value, size_t size)
{
	uint8_t bytes[8];

	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(value >> (8 * i));
	put_raw(writer, bytes, size);
}

void frame_put_u8(struct frame_writer *writer, uint8_t value)
{
	put_integer(writer, value, 1);
}

void frame_put_u16(struct frame_writer *writer, uint16_t value)
{
	put_integer(writer, value, 2);
}

void frame_put_u32(struct frame_writer *writer, uint32_t value)
{
	put_integer(writer, value, 4);
}

void frame_put_i32(struct frame_writer *writer, int32_t value)
{
	put_integer(writer, (uint32_t)value, 4);
}

void frame_put_u64(struct frame_writer *writer, uint64_t value)
{
	put_integer(writer, value, 8);
}

void frame_put_bytes(struct frame_writer *writer, const void *data, size_t length)
{
	if (length > FRAME_LENGTH_MAX) {
		writer->overflow = true;
		return;
	}
	frame_put_u32(writer, (uint32_t)length);
	put_raw(writer, data, length);
}

void frame_put_str(struct frame_writer *writer, const char *text)
{
	frame_put_bytes(writer, text, strlen(text));
}

void frame_put_absent(struct frame_writer *writer)
{
	frame_put_u8(writer, 0);
}

void frame_put_present(struct frame_writer *writer)
{
	frame_put_u8(writer, 1);
}

void frame_put_list(struct frame_writer *writer, char *const *items)
{
	uint32_t count = 0;

	while (items[count])
		count++;
	frame_put_u32(writer, count);
	for (uint32_t i = 0; i < count; i++)
		frame_put_str(writer, items[i]);
}

size_t frame_end(struct frame_writer *writer)
{
	if (writer->overflow)
		return 0;
	uint32_t length = (uint32_t)(writer->length - 4);
	for (size_t i = 0; i < 4; i++)
		writer->bytes[i] = (uint8_t)(length >> (8 * i));
	return writer->length;
}

static const uint8_t *take(struct frame_reader *reader, size_t length)
{
	if (reader->failed || length > reader->length - reader->offset) {
		reader->failed = true;
		return NULL;
	}
	const uint8_t *at = reader->bytes + reader->offset;
	reader->offset += length;
	return at;
}

static uint64_t get_integer(struct frame_reader *reader, size_t size)
{
	const uint8_t *at = take(reader, size);
	uint64_t value = 0;

	if (!at)
		return 0;
	for (size_t i = 0; i < size; i++)
		value |= (uint64_t)at[i] << (8 * i);
	return value;
}

uint8_t frame_get_u8(struct frame_reader *reader)
{
	return (uint8_t)get_integer(reader, 1);
}

uint16_t frame_get_u16(struct frame_reader *reader)
{
	return (uint16_t)get_integer(reader, 2);
}

uint32_t frame_get_u32(struct frame_reader *reader)
{
	return (uint32_t)get_integer(reader, 4);
}

int32_t frame_get_i32(struct frame_reader *reader)
{
	return (int32_t)frame_get_u32(reader);
}

uint64_t frame_get_u64(struct frame_reader *reader)
{
	return get_integer(reader, 8);
}

struct slice frame_get_bytes(struct frame_reader *reader)
{
	uint32_t length = frame_get_u32(reader);
	const uint8_t *data = take(reader, length);

	return (struct slice){ data, data ? length : 0 };
}

char *frame_get_str(struct frame_reader *reader)
{
	struct slice text = frame_get_bytes(reader);

	if (reader->failed)
		return NULL;
	char *copy = text.length > 0 && memchr(text.data, 0, text.length) ? NULL : malloc((size_t)text.length + 1);
	if (!copy) {
		reader->failed = true;
		return NULL;
	}
	if (text.length > 0)
		memcpy(copy, text.data, text.length);
	copy[text.length] = 0;
	return copy;
}

struct string_list frame_get_list(struct frame_reader *reader)
{
	struct string_list list = { NULL, 0 };
	uint32_t count = frame_get_u32(reader);
	struct frame_reader ahead = *reader;
	size_t text = 0;

	/* Each item takes at least its length field: a count beyond that is refused before anything is allocated. */
	if (reader->failed || count > (reader->length - reader->offset) / 4) {
		reader->failed = true;
		return list;
	}
	for (uint32_t i = 0; i < count; i++) {
		struct slice item = frame_get_bytes(&ahead);
		if (item.length > 0 && memchr(item.data, 0, item.length))
			ahead.failed = true;
		text += (size_t)item.length + 1;
	}
	char **items = ahead.failed ? NULL : malloc(((size_t)count + 1) * sizeof(*items) + text);
	if (!items) {
		reader->failed = true;
		return list;
	}
	char *into = (char *)(items + count + 1);
	for (uint32_t i = 0; i < count; i++) {
		struct slice item = frame_get_bytes(reader);
		items[i] = into;
		if (item.length > 0)
			memcpy(into, item.data, item.length);
		into[item.length] = 0;
		into += item.length + 1;
	}
	items[count] = NULL;
	return (struct string_list){ items, count };
}

void string_list_free(struct string_list *list)
{
	free(list->items);
	list->items = NULL;
	list->count = 0;
}

bool frame_reader_complete(const struct frame_reader *reader)
{
	return !reader->failed && reader->offset == reader->length;
}

void frame_decoder_reset(struct frame_decoder *decoder)
{
	decoder->filled = 0;
	decoder->consumed = 0;
}

size_t frame_decoder_space(struct frame_decoder *decoder, uint8_t **into)
{
	if (decoder->consumed > 0) {
		memmove(decoder->buffer, decoder->buffer + decoder->consumed, decoder->filled - decoder->consumed);
		decoder->filled -= decoder->consumed;
		decoder->consumed = 0;
	}
	*into = decoder->buffer + decoder->filled;
	return sizeof(decoder->buffer) - decoder->filled;
}

void frame_decoder_filled(struct frame_decoder *decoder, size_t length)
{
	decoder->filled += length;
}

enum decode_result frame_decoder_next(struct frame_decoder *decoder, uint8_t *type, struct slice *payload)
{
	const uint8_t *at = decoder->buffer + decoder->consumed;
	size_t available = decoder->filled - decoder->consumed;

	if (available < 4)
		return DECODE_MORE;
	uint32_t length = (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
	if (length < 1 || length > FRAME_LENGTH_MAX)
		return DECODE_BAD_LENGTH;
	if (available - 4 < length)
		return DECODE_MORE;
	*type = at[4];
	*payload = (struct slice){ at + 5, length - 1 };
	decoder->consumed += 4 + (size_t)length;
	return DECODE_FRAME;
}

bool frame_decoder_partial(const struct frame_decoder *decoder)
{
	return decoder->filled > decoder->consumed;
}
