/* Extracts a tar archive on standard input below a directory. */
#ifndef STILLPOINT_ARCHIVE_EXTRACT_H
#define STILLPOINT_ARCHIVE_EXTRACT_H

/* Returns null, or what failed, with errno set: 0 where it is the archive that is wrong. */
const char *extract_archive(int directory);

#endif
