/*
 * Says of each event on standard input whether a guest may send it: `1` or `0`, for comparison with the host's judgement.
 *
 *   u32 length | name | u32 length | payload      in the byte order of this machine
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "event_form.h"

static char *take(uint32_t *length)
{
	if (fread(length, sizeof(*length), 1, stdin) != 1)
		return NULL;
	/* Exactly as long as it is, so that reading beyond it is noticed. */
	char *text = malloc(*length > 0 ? *length : 1);
	if (!text || fread(text, 1, *length, stdin) != *length)
		exit(2);
	return text;
}

int main(void)
{
	uint32_t name_length, payload_length;
	char *name, *payload;

	while ((name = take(&name_length))) {
		payload = take(&payload_length);
		if (!payload)
			return 2;
		putchar(event_name_valid(name, name_length) && event_payload_valid(payload, payload_length) ? '1' : '0');
		free(name);
		free(payload);
	}
	return 0;
}
