/*
 * Events that the guest's own programs define: datagrams to the unix socket /run/stillpoint/events,
 * each "name payload" with one space between, the payload JSON (absent: null).
 *
 * Nothing here is trusted: an event that is not of the form of event_form.h is Rejected.
 */
#ifndef STILLPOINT_CUSTOM_EVENTS_H
#define STILLPOINT_CUSTOM_EVENTS_H

/* Opens the socket. Returns 0 or an errno. */
int custom_events_serve(void);

/* Passes on waiting events, a bounded number. */
void custom_events_drain(void);

/* The program `stillpoint-emit name [json]`, which sends one event. Returns its exit code. */
int custom_events_emit(int argc, char **argv);

#endif
