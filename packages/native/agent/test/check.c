/* Promises of the parts without input or output, checked on the host under sanitizers. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "account.h"
#include "address.h"
#include "config.h"
#include "environment.h"
#include "ext4_format.h"
#include "frame.h"
#include "json.h"
#include "socket_table.h"
#include "text.h"

static int failures;
static int checks;

#define CHECK(condition)                                                        \
	do {                                                                    \
		checks++;                                                       \
		if (!(condition)) {                                             \
			failures++;                                             \
			printf("%s:%d: %s\n", __func__, __LINE__, #condition);  \
		}                                                               \
	} while (0)

/* A small generator with a fixed seed: the same inputs on every run. */
static uint64_t random_state = 0x9e3779b97f4a7c15;

static uint32_t random_below(uint32_t limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 32) % limit;
}

static struct frame_decoder decoder;
static uint8_t frame[FRAME_BYTES_MAX];

static void push(const uint8_t *bytes, size_t length)
{
	uint8_t *into;
	size_t room = frame_decoder_space(&decoder, &into);

	CHECK(room >= length);
	memcpy(into, bytes, length);
	frame_decoder_filled(&decoder, length);
}

static void a_frame_has_the_documented_bytes(void)
{
	static const uint8_t expected[] = { 15, 0, 0, 0, 0x04, 6, 7, 0, 0, 0, '0', '.', '0', '.', '0', '.', '0', 0x90, 0x1f };
	struct frame_writer writer;

	frame_begin(&writer, frame, sizeof(frame), FRAME_LISTENER_BOUND);
	frame_put_u8(&writer, 6);
	frame_put_str(&writer, "0.0.0.0");
	frame_put_u16(&writer, 8080);
	size_t length = frame_end(&writer);
	CHECK(length == sizeof(expected) && memcmp(frame, expected, length) == 0);
}

static void what_is_written_is_read_back(void)
{
	char *items[] = { "a", "", "three words here", NULL };
	struct frame_writer writer;

	frame_begin(&writer, frame, sizeof(frame), FRAME_EXEC);
	frame_put_u8(&writer, 0xfe);
	frame_put_u16(&writer, 0xfedc);
	frame_put_u32(&writer, 0xfedcba98);
	frame_put_i32(&writer, -5);
	frame_put_u64(&writer, UINT64_C(0xfedcba9876543210));
	frame_put_list(&writer, items);
	frame_put_str(&writer, "text");
	frame_put_bytes(&writer, "\0\1", 2);
	size_t length = frame_end(&writer);

	struct frame_reader reader = { frame + 5, length - 5, 0, false };
	CHECK(frame_get_u8(&reader) == 0xfe);
	CHECK(frame_get_u8(&reader) == 0xdc);
	CHECK(frame_get_u8(&reader) == 0xfe);
	CHECK(frame_get_u32(&reader) == 0xfedcba98);
	CHECK(frame_get_i32(&reader) == -5);
	CHECK(frame_get_u64(&reader) == UINT64_C(0xfedcba9876543210));
	struct string_list list = frame_get_list(&reader);
	CHECK(list.count == 3 && list.items[3] == NULL);
	for (int i = 0; i < 3; i++)
		CHECK(strcmp(list.items[i], items[i]) == 0);
	char *text = frame_get_str(&reader);
	CHECK(text && strcmp(text, "text") == 0);
	struct slice bytes = frame_get_bytes(&reader);
	CHECK(bytes.length == 2 && memcmp(bytes.data, "\0\1", 2) == 0);
	CHECK(frame_reader_complete(&reader));
	free(text);
	string_list_free(&list);
}

static void a_frame_that_does_not_fit_is_refused(void)
{
	static uint8_t data[FRAME_LENGTH_MAX + 1];
	struct frame_writer writer;

	frame_begin(&writer, frame, sizeof(frame), 1);
	frame_put_bytes(&writer, data, FRAME_LENGTH_MAX - 5);
	CHECK(frame_end(&writer) == FRAME_BYTES_MAX);
	frame_begin(&writer, frame, sizeof(frame), 1);
	frame_put_bytes(&writer, data, FRAME_LENGTH_MAX - 4);
	CHECK(frame_end(&writer) == 0);
	frame_begin(&writer, frame, sizeof(frame), 1);
	frame_put_bytes(&writer, data, sizeof(data));
	frame_put_u8(&writer, 1);
	CHECK(frame_end(&writer) == 0);
}

static void a_stream_is_cut_into_the_same_frames_however_it_arrives(void)
{
	for (int round = 0; round < 300; round++) {
		static uint8_t stream[20000];
		size_t lengths[20], total = 0, cut = 0, sent = 0;
		unsigned count = 1 + random_below(20), got = 0;

		for (unsigned i = 0; i < count; i++) {
			lengths[i] = random_below(900);
			struct frame_writer writer;
			frame_begin(&writer, stream + total, sizeof(stream) - total, (uint8_t)(i + 1));
			for (size_t n = 0; n < lengths[i]; n++)
				frame_put_u8(&writer, (uint8_t)(n * 7 + i));
			total += frame_end(&writer);
		}
		frame_decoder_reset(&decoder);
		while (sent < total) {
			cut = 1 + random_below(round % 3 == 0 ? 3 : 2000);
			cut = cut > total - sent ? total - sent : cut;
			push(stream + sent, cut);
			sent += cut;
			uint8_t type;
			struct slice payload;
			while (frame_decoder_next(&decoder, &type, &payload) == DECODE_FRAME) {
				CHECK(type == got + 1 && payload.length == lengths[got]);
				for (uint32_t n = 0; n < payload.length; n++)
					CHECK(payload.data[n] == (uint8_t)(n * 7 + got));
				got++;
			}
		}
		CHECK(got == count && !frame_decoder_partial(&decoder));
	}
}

static void a_length_outside_the_bounds_is_named(void)
{
	static const uint8_t bad[][4] = { { 0, 0, 0, 0 }, { 1, 0, 1, 0 }, { 0xff, 0xff, 0xff, 0xff } };
	static const uint8_t largest[4] = { 0, 0, 1, 0 };
	uint8_t type;
	struct slice payload;

	for (int i = 0; i < 3; i++) {
		frame_decoder_reset(&decoder);
		push(bad[i], 4);
		CHECK(frame_decoder_next(&decoder, &type, &payload) == DECODE_BAD_LENGTH);
	}
	frame_decoder_reset(&decoder);
	push(largest, 4);
	CHECK(frame_decoder_next(&decoder, &type, &payload) == DECODE_MORE);
	CHECK(frame_decoder_partial(&decoder));
}

/* Under the sanitizers: no payload makes the reader leave it. */
static void a_hostile_payload_is_refused_without_harm(void)
{
	for (int round = 0; round < 20000; round++) {
		size_t length = random_below(64);
		uint8_t *bytes = malloc(length + 1);
		for (size_t i = 0; i < length; i++)
			bytes[i] = random_below(3) ? (uint8_t)random_below(4) : (uint8_t)random_below(256);
		struct frame_reader reader = { bytes, length, 0, false };
		struct string_list list = frame_get_list(&reader);
		char *text = frame_get_str(&reader);
		struct string_list second = frame_get_list(&reader);
		CHECK(reader.offset <= length);
		CHECK(list.items != NULL || reader.failed);
		CHECK(second.items != NULL || reader.failed);
		string_list_free(&list);
		string_list_free(&second);
		free(text);
		free(bytes);
	}
	static const uint8_t nul_inside[] = { 1, 0, 0, 0, 2, 0, 0, 0, 'a', 0 };
	struct frame_reader reader = { nul_inside, sizeof(nul_inside), 0, false };
	CHECK(frame_get_list(&reader).items == NULL && reader.failed);
	static const uint8_t left_over[] = { 1, 2 };
	struct frame_reader more = { left_over, sizeof(left_over), 0, false };
	frame_get_u8(&more);
	CHECK(!frame_reader_complete(&more));
}

static void a_configuration_is_read(void)
{
	char text[] = "# comment\n\nargv=/bin/sh\nargv=-c\nargv=a%0Ab%25\nenv=A=1=2\nmodule=/m.ko.xz\ncwd=/w\nhostname=h\n"
		      "identityHook=/h\nidentityHook=a\nidentityHookNanos=7\nidentitySignal=10\n"
		      "heartbeatMillis=0\nholdNanos=5\nhold=untilGo\nlisteners=scan\nport=/dev/x\nprivileged=1\nconsoleMarkers=1";
	struct config config;
	const char *reason = NULL;

	config_init(&config);
	CHECK(config.heartbeat_millis == 100 && config.hold_nanos == 100000000 && config.hold == HOLD_TIMED);
	CHECK(config_parse(&config, text, &reason) == 0 && reason == NULL);
	CHECK(config.argv.count == 3 && strcmp(config.argv.items[2], "a\nb%") == 0 && config.argv.items[3] == NULL);
	CHECK(config.env.count == 1 && strcmp(config.env.items[0], "A=1=2") == 0);
	CHECK(config.modules.count == 1 && strcmp(config.cwd, "/w") == 0 && strcmp(config.hostname, "h") == 0);
	CHECK(config.heartbeat_millis == 0 && config.hold_nanos == 5 && config.hold == HOLD_UNTIL_GO);
	CHECK(config.listeners == LISTENERS_SCAN && strcmp(config.port, "/dev/x") == 0);
	CHECK(config.privileged && config.console_markers);
	CHECK(config.identity_hook.count == 2 && strcmp(config.identity_hook.items[1], "a") == 0);
	CHECK(config.identity_hook_nanos == 7 && config.identity_signal == 10);
	free(config.identity_hook.items);
	free(config.argv.items);
	free(config.env.items);
	free(config.modules.items);
}

static void a_bad_line_is_named_and_the_others_hold(void)
{
	static const char *const bad[] = { "what",	 "what=1",     "hold=sometimes", "heartbeatMillis=-1", "heartbeatMillis=",
					   "argv=%0",	 "argv=%zz",   "argv=%00",	 "privileged=yes",     "env==x",
					   "env=novalue", "holdNanos=99999999999999999999",
					   "identitySignal=65", "identitySignal=HUP", "identityHookNanos=x" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct config config;
		const char *reason = NULL;
		char text[128];
		snprintf(text, sizeof(text), "hostname=before\n%s\nport=after\n", bad[i]);
		config_init(&config);
		CHECK(config_parse(&config, text, &reason) == 2 && reason != NULL);
		CHECK(strcmp(config.hostname, "before") == 0 && strcmp(config.port, "after") == 0);
		CHECK(config.argv.count == 0 && config.env.count == 0);
	}
}

static void later_environment_wins(void)
{
	char *configured[] = { "A=1", "PATH=/x", NULL };
	char *first[] = { "A=2", "B=2", NULL };
	char *second[] = { "B=3", NULL };
	char *extra[] = { "AB=4", NULL };

	environment_configure(configured);
	CHECK(environment_set_identity(first) == 0);
	CHECK(environment_set_identity(second) == 0);
	char **merged = environment_merge(NULL, extra);
	CHECK(strcmp(environment_value(merged, "A"), "1") == 0);
	CHECK(strcmp(environment_value(merged, "B"), "3") == 0);
	CHECK(strcmp(environment_value(merged, "AB"), "4") == 0);
	CHECK(strcmp(environment_value(merged, "PATH"), "/x") == 0);
	CHECK(strcmp(environment_value(merged, "HOME"), "/root") == 0);
	CHECK(environment_value(merged, "C") == NULL);
	free(merged);
	merged = environment_merge("/home/ada", extra);
	CHECK(strcmp(environment_value(merged, "HOME"), "/home/ada") == 0);
	CHECK(strcmp(environment_value(merged, "A"), "1") == 0);
	free(merged);
	CHECK(environment_set_identity((char *[]){ NULL }) == 0);
}

static void addresses_have_their_canonical_text(void)
{
	static const struct {
		uint8_t bytes[16];
		const char *text;
	} v6[] = {
		{ { 0 }, "::" },
		{ { [15] = 1 }, "::1" },
		{ { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 }, "2001:db8::1" },
		{ { 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1 }, "2001:db8:0:1:1:1:1:1" },
		{ { 0x20, 0x01, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1 }, "2001:0:0:1::1" },
		{ { 0x20, 0x01, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 1 }, "2001::1:1:0:0:1" },
		{ { 0xfe, 0x80 }, "fe80::" },
		{ { [10] = 0xff, 0xff, 127, 0, 0, 1 }, "::ffff:127.0.0.1" },
		{ { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
		  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
	};
	char text[ADDRESS_TEXT_MAX];

	for (size_t i = 0; i < sizeof(v6) / sizeof(v6[0]); i++) {
		address_text_v6(v6[i].bytes, text);
		CHECK(strcmp(text, v6[i].text) == 0);
	}
	address_text_v4((const uint8_t[]){ 255, 10, 0, 109 }, text);
	CHECK(strcmp(text, "255.10.0.109") == 0);

	char name[ADDRESS_UNIX_MAX], longest[200];
	address_text_unix("/run/x\0rest", 12, name);
	CHECK(strcmp(name, "/run/x") == 0);
	address_text_unix("\0a\0b", 4, name);
	CHECK(strcmp(name, "@a@b") == 0);
	address_text_unix("", 0, name);
	CHECK(strcmp(name, "") == 0);
	memset(longest, 'x', sizeof(longest));
	address_text_unix(longest, sizeof(longest), name);
	CHECK(strlen(name) == ADDRESS_UNIX_MAX - 1);
}

static void json_is_told_from_what_is_not(void)
{
	static const char *const good[] = { "null",	"0",  "-1.5e+3", "\"\"", "[]", " { } ", "{\"a\":[1,{\"b\":\"\\u00e9\\n\"}]}",
					    "\"\xc3\xa9\"", "[1 , 2]", "true", "1E5", "1e308", "0.00001e313", "9007199254740991", "9007199254740993.0", "0e99999999999999999999",
					    "1e-99999999999999999999", "\"\\ud83d\\ude00\"",	  "\"\xf0\x9f\x98\x80\"" };
	static const char *const bad[] = { "",	   "nul",  "01",     "1.",     "-",	  "+1",	     "[1,]",   "{a:1}", "{\"a\"}",
					   "\"",   "[",	   "[1] 2",  "\"\n\"", "\"\\x\"", "\"\\u12g4\"", "1e",	 ".5",	  "\"\xff\"",
					   "\"\xc0\x80\"", "\"\xed\xa0\x80\"", "{\"a\":1,}", "tru e", "\"\\", "'a'",
					   "1e999", "1.7976931348623158e308", "9007199254740992", "-9007199254740993", "\"\\ud800\"",
					   "\"\\udc00\"", "\"\\ud800\\u0041\"", "\"\\ud800\\ud800\"" };
	char deep[201];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		CHECK(json_valid(good[i], strlen(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK(!json_valid(bad[i], strlen(bad[i])));
	CHECK(!json_valid("1\0", 2));
	memset(deep, '[', 200);
	CHECK(!json_valid(deep, 200));
	for (int round = 0; round < 20000; round++) {
		size_t length = random_below(24);
		char *text = malloc(length + 1);
		for (size_t i = 0; i < length; i++)
			text[i] = "{}[]\",:\\u0e-.1 tn\xc3\xa9"[random_below(20)];
		json_valid(text, length);
		free(text);
	}
	checks++;
}

static void listening_sockets_are_read_from_the_tables(void)
{
	static const char listening[] =
		"   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1234 1 0 100 0 0 10 0";
	static const char connected[] =
		"   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 1235 1 0 20 4 30 10 -1";
	static const char six[] = "  12: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A "
				  "00000000:00000000 00:00000000 00000000  1000        0 77 1 0 100 0 0 10 0";
	struct socket_entry entry;
	char text[ADDRESS_TEXT_MAX];

	CHECK(socket_table_line(listening, SOCKET_V4, false, &entry));
	address_text_v4(entry.address, text);
	CHECK(strcmp(text, "127.0.0.1") == 0 && entry.port == 8080 && entry.inode == 1234);
	CHECK(!socket_table_line(connected, SOCKET_V4, false, &entry));
	CHECK(!socket_table_line(listening, SOCKET_V4, true, &entry));
	CHECK(socket_table_line(six, SOCKET_V6, false, &entry));
	address_text_v6(entry.address, text);
	CHECK(strcmp(text, "::1") == 0 && entry.port == 80 && entry.inode == 77);
	for (size_t cut = 0; cut < sizeof(listening) - 1; cut++) {
		char line[sizeof(listening)];
		memcpy(line, listening, cut);
		line[cut] = 0;
		socket_table_line(line, cut % 2 ? SOCKET_V6 : SOCKET_V4, false, &entry);
	}

	static const char accepting[] = "0000000000000000: 00000002 00000000 00010000 0001 01  4711 /run/a socket";
	static const char connecting[] = "0000000000000000: 00000003 00000000 00000000 0001 03  4712 /run/a socket";
	CHECK(socket_table_line(accepting, SOCKET_UNIX, false, &entry));
	CHECK(entry.inode == 4711 && strcmp(entry.path, "/run/a socket") == 0);
	CHECK(!socket_table_line(connecting, SOCKET_UNIX, false, &entry));
	for (size_t cut = 0; cut < sizeof(accepting) - 1; cut++) {
		char line[sizeof(accepting)];
		memcpy(line, accepting, cut);
		line[cut] = 0;
		/* It has a name only with the first byte of it. */
		CHECK(socket_table_line(line, SOCKET_UNIX, false, &entry) == (cut > strlen(accepting) - strlen("/run/a socket")));
	}
}

static void text_is_cut_at_its_room(void)
{
	struct text text;

	text_start(&text, "n ");
	text_add_number(&text, 0);
	text_add(&text, " ");
	text_add_number(&text, UINT64_MAX);
	CHECK(strcmp(text.bytes, "n 0 18446744073709551615") == 0);
	for (int i = 0; i < 100; i++)
		text_add(&text, "0123456789");
	CHECK(text.length == sizeof(text.bytes) - 1 && strlen(text.bytes) == text.length);
}

static void resolve(const char *user, const char *const *more, struct account *account, const char *expected)
{
	static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\nada:x:1000:1001::/home/ada:\n\nbroken\n77:x:5:6::/seven:/bin/sh\n"
				     "toor:x:0:9::/toor:\nlast:x:12:13::";
	static const char group[] = "root:x:0:\nstaff:x:50:ada,root\nwheel:x:51:root,adam\ndocker:x:52:eve,ada\nada:x:1001:";
	const char *found = NULL;
	const char *problem = account_resolve(account, user, more, passwd, group, &found);

	CHECK((problem == NULL) == (expected == NULL));
	CHECK(!expected || strcmp(found, expected) == 0);
}

static void an_account_is_what_the_files_say(void)
{
	struct account it;
	const char *more[] = { "wheel", "7", "50", NULL };
	const char *unknown[] = { "nobody", NULL };

	resolve("ada", NULL, &it, NULL);
	CHECK(it.uid == 1000 && it.gid == 1001 && it.group_count == 2 && it.groups[0] == 50 && it.groups[1] == 52);
	CHECK(strcmp(it.home, "/home/ada") == 0);
	/* By number the same, and a group that is said is the only one. */
	resolve("1000", NULL, &it, NULL);
	CHECK(it.uid == 1000 && it.gid == 1001 && it.group_count == 2 && strcmp(it.home, "/home/ada") == 0);
	resolve("ada:wheel", NULL, &it, NULL);
	CHECK(it.uid == 1000 && it.gid == 51 && it.group_count == 0);
	resolve("ada:4000", more, &it, NULL);
	CHECK(it.gid == 4000 && it.group_count == 3 && it.groups[0] == 51 && it.groups[1] == 7 && it.groups[2] == 50);
	/* A number that nobody has is nobody's; a name that is a number is a name. The first of several wins. */
	resolve("4294967294", NULL, &it, NULL);
	CHECK(it.uid == 4294967294 && it.gid == 0 && it.group_count == 0 && strcmp(it.home, "/") == 0);
	resolve("77", NULL, &it, NULL);
	CHECK(it.uid == 5 && it.gid == 6 && strcmp(it.home, "/seven") == 0);
	resolve("0", NULL, &it, NULL);
	CHECK(it.uid == 0 && it.gid == 0 && strcmp(it.home, "/root") == 0 && it.group_count == 2);
	resolve("last", NULL, &it, NULL);
	CHECK(it.uid == 12 && it.gid == 13 && strcmp(it.home, "/") == 0);
	resolve("", NULL, &it, NULL);
	CHECK(it.uid == 0);
	resolve("eve", NULL, &it, "eve");
	resolve("broken", NULL, &it, "broken");
	resolve("4294967295", NULL, &it, "4294967295");
	resolve("-1", NULL, &it, "-1");
	resolve("ada:nobody", NULL, &it, "nobody");
	resolve("ada", unknown, &it, "nobody");
}

static void any_text_is_survived_as_passwd_and_group(void)
{
	static const char letters[] = "ada:x0129,\n\n::,";
	char passwd[200], group[200], user[12];
	struct account it;

	for (int round = 0; round < 20000; round++) {
		const char *found;
		char *texts[] = { passwd, group, user };
		size_t rooms[] = { sizeof(passwd), sizeof(group), sizeof(user) };
		for (int i = 0; i < 3; i++) {
			size_t length = random_below((uint32_t)rooms[i]);
			for (size_t at = 0; at < length; at++)
				texts[i][at] = letters[random_below(sizeof(letters) - 1)];
			texts[i][length] = 0;
		}
		account_resolve(&it, user, NULL, passwd, group, &found);
		CHECK(it.group_count <= ACCOUNT_GROUPS_MAX && strlen(it.home) < sizeof(it.home));
	}
}

/* Formats a sparse file of that size. Says what the independent checker finds, where there is one. */
static void format(uint64_t bytes, int expected)
{
	char path[] = "/tmp/stillpoint-ext4-XXXXXX", command[128];
	uint8_t identity[32];
	int fd = mkstemp(path);

	for (size_t i = 0; i < sizeof(identity); i++)
		identity[i] = (uint8_t)(random_below(255) + 1);
	CHECK(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0 && ext4_is_empty(fd));
	CHECK(ext4_format(fd, bytes, identity, 1700000000) == expected);
	CHECK(expected != 0 || !ext4_is_empty(fd));
	if (expected == 0 && system("command -v e2fsck >/dev/null 2>&1") == 0) {
		snprintf(command, sizeof(command), "e2fsck -fn %s >/dev/null 2>&1", path);
		CHECK(system(command) == 0);
	}
	close(fd);
	unlink(path);
}

static void an_empty_disk_of_any_size_is_formatted(void)
{
	const uint64_t group = UINT64_C(1) << 27;

	format(EXT4_LEAST_BYTES - 1, ERANGE);
	format(EXT4_LEAST_BYTES, 0);
	format(EXT4_MOST_BYTES + 1, ERANGE);
	format(UINT64_C(1) << 37, 0);
	/* Around the borders of groups, whose last may be too short. */
	for (uint64_t groups = 1; groups < 4; groups++) {
		for (int i = 0; i < 6; i++)
			format(groups * group + (uint64_t)random_below(8 << 20) - (4 << 20), 0);
	}
	for (int i = 0; i < 20; i++)
		format(EXT4_LEAST_BYTES + (uint64_t)random_below(UINT32_C(1) << 31), 0);
	if (system("command -v e2fsck >/dev/null 2>&1") != 0)
		printf("skipped: e2fsck is not installed, so nobody else has checked the ext4 file systems\n");
}

static void a_workload_of_its_own_leaves_what_is_the_agents(void)
{
	char boot[] = "module=/m\nport=/dev/ttyS9\nheartbeatMillis=7\nargv=first\nenv=A=1\nholdNanos=5";
	char lines[][40] = { "argv=/bin/x", "volume=ro erofs a /a", "user=ada:staff", "root=image", "stopSignal=3" };
	const char *agents[] = { "port=/dev/x", "module=/x", "privileged=1", "heartbeatMillis=0", "consoleMarkers=1" };
	const char *reason;
	struct config config;

	config_init(&config);
	CHECK(config_parse(&config, boot, &reason) == 0);
	struct config fresh = config_for_workload(&config);
	CHECK(fresh.argv.count == 0 && fresh.env.count == 0 && fresh.modules.count == 1 && fresh.heartbeat_millis == 7);
	CHECK(strcmp(fresh.port, "/dev/ttyS9") == 0 && fresh.hold_nanos == 5);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		CHECK(config_workload_line(&fresh, lines[i]) == NULL);
	CHECK(fresh.argv.count == 1 && fresh.volumes.count == 1 && strcmp(fresh.user, "ada:staff") == 0 && fresh.stop_signal == 3);
	for (size_t i = 0; i < sizeof(agents) / sizeof(agents[0]); i++) {
		char line[40];
		strcpy(line, agents[i]);
		CHECK(config_workload_line(&fresh, line) != NULL);
	}
	CHECK(config.argv.count == 1 && strcmp(config.argv.items[0], "first") == 0);
	config_free(&fresh);
	CHECK(fresh.argv.count == 0 && config.argv.count == 1);
	config_free(&config);
	free(config.modules.items);
}

int main(void)
{
	a_frame_has_the_documented_bytes();
	what_is_written_is_read_back();
	a_frame_that_does_not_fit_is_refused();
	a_stream_is_cut_into_the_same_frames_however_it_arrives();
	a_length_outside_the_bounds_is_named();
	a_hostile_payload_is_refused_without_harm();
	a_configuration_is_read();
	a_bad_line_is_named_and_the_others_hold();
	a_workload_of_its_own_leaves_what_is_the_agents();
	an_account_is_what_the_files_say();
	any_text_is_survived_as_passwd_and_group();
	an_empty_disk_of_any_size_is_formatted();
	later_environment_wins();
	addresses_have_their_canonical_text();
	json_is_told_from_what_is_not();
	listening_sockets_are_read_from_the_tables();
	text_is_cut_at_its_room();
	printf("%d checks, %d failures\n", checks, failures);
	return failures ? 1 : 0;
}
