#include "event_form.h"

#include <string.h>

#include "contract.h"
#include "json.h"

bool event_name_valid(const char *name, size_t length)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/-";

	for (size_t i = 0; i < length; i++) {
		if (name[i] == 0 || !strchr(letters, name[i]))
			return false;
	}
	return length > 0 && length <= LIMIT_EVENT_NAME_BYTES && name[0] != '-';
}

bool event_payload_valid(const char *payload, size_t length)
{
	return length <= LIMIT_PAYLOAD_BYTES && json_valid(payload, length);
}
