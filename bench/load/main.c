/* The program's course: open all sessions, `ready`, go, warm-up, `measuring`, `done`, close, `closed`. */
#include "clock.h"
#include "control.h"
#include "load.h"
#include "loop.h"
#include "paths.h"
#include "report.h"
#include "sessions.h"
#include "sockets.h"
#include "tls.h"

#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define BYTES_A_TURN (256 * 1024) /* of one streaming end, before the others have their turn */
#define CLOSING_TIME (3 * SECOND)

struct run run;

/* Counts an error and keeps the text of the first one. */
void run_error(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (run.errors++ == 0)
        vsnprintf(run.first_error, sizeof run.first_error, format, arguments);
    va_end(arguments);
}

/* Tells how much CPU time the generator has used, in seconds. */
static double cpu_used(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

/* Does one turn: what is due, then one batch of events. */
static void turn(uint64_t until)
{
    uint64_t now = now_ns(), due = sessions_check_deadlines(now);
    bool active = run.phase >= WARMING && run.phase <= FINISHING;
    if (active && run.scenario->on_time)
        due = earlier(due, run.scenario->on_time(now));
    loop_wait(earlier(until, due));
}

/* Opens the sessions that are to be up before the driver says go. */
static void open_sessions(void)
{
    uint64_t patience = (uint64_t)(options.deadline * (double)SECOND), limit = now_ns() + patience;
    size_t up = 0;
    while (sessions.browser_count < run.wanted_sessions || sessions.server_count < run.wanted_sessions) {
        if (sessions.failed)
            fail("a session did not come up: %s", run.first_error);
        if (!sessions_open(run.wanted_sessions))
            fail("the paths are used up");
        turn(limit);
        if (sessions.browser_count + sessions.server_count > up) {
            up = sessions.browser_count + sessions.server_count;
            limit = now_ns() + patience;
        }
        sessions_check_deadlines(now_ns());
        if (now_ns() >= limit)
            fail("%zu of %zu browsers and %zu VNC servers are up, and no more come", sessions.browser_count,
                 run.wanted_sessions, sessions.server_count);
    }
}

/* Handles events until a word comes from the driver or the driver is gone; true when the word came. */
static bool wait_for(const bool *word)
{
    while (!*word && !control.ended)
        turn(NEVER);
    return *word;
}

/* Runs the load for a time, or until it has done so many units. */
static void run_phase(double seconds, uint64_t units)
{
    uint64_t end = now_ns() + (uint64_t)(seconds * (double)SECOND);
    if (run.by_count)
        while (run.units < units)
            turn(NEVER);
    else
        while (now_ns() < end)
            turn(end);
}

/* Forgets what the warm-up counted. */
static void begin_measuring(void)
{
    run.phase = MEASURING;
    run.units = run.by_count ? run.units - run.warmup_units : 0;
    histogram_clear(&run.latency);
    if (run.scenario->measure)
        run.scenario->measure();
}

/* Lets the scenario bring everything to its end, within the deadline. */
static void finish(void)
{
    uint64_t limit = now_ns() + (uint64_t)(options.deadline * (double)SECOND) + 2 * SECOND;
    run.phase = FINISHING;
    if (run.scenario->stop)
        run.scenario->stop();
    while (run.scenario->finished && !run.scenario->finished()) {
        turn(limit);
        if (now_ns() >= limit) {
            run_error("not everything came to its end within the deadline");
            break;
        }
    }
    run.phase = DONE;
}

/* Prints the result; it reports the generator's own CPU time too, which must stay below the relay's. */
static void print_done(double seconds, double cpu)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    if (!to)
        fail("out of memory");
    fprintf(to, "{\"scenario\": \"%s\", \"seconds\": %.6f, \"units\": %llu, \"unit\": \"%s\", \"sessions\": %zu",
            run.scenario->name, seconds, (unsigned long long)run.units, run.scenario->unit, run.wanted_sessions);
    fprintf(to, ", \"errors\": %llu", (unsigned long long)run.errors);
    if (run.errors) {
        fputs(", \"first_error\": ", to);
        print_json_text(to, run.first_error);
    }
    histogram_print(to, "", &run.latency);
    if (run.scenario->report)
        run.scenario->report(to);
    fprintf(to, ", \"generator_cpu\": %.3f}", cpu);
    fclose(to);
    say("done %s", text);
    free(text);
}

/* Warms up, measures and tells the result. */
static void measure(void)
{
    run.phase = WARMING;
    if (run.scenario->begin)
        run.scenario->begin();
    run_phase(options.warmup, run.warmup_units);
    double cpu = cpu_used();
    begin_measuring();
    say("measuring");
    uint64_t began = now_ns();
    if (run.until_close)
        wait_for(&control.close);
    else
        run_phase(options.seconds, run.measured_units);
    double seconds = (double)(now_ns() - began) / (double)SECOND;
    cpu = cpu_used() - cpu;
    finish();
    print_done(seconds, cpu);
}

/* Closes the browsers, gives the relay a moment to close its VNC connections, and closes what is left. */
static void close_all(void)
{
    uint64_t limit = now_ns() + CLOSING_TIME;
    run.phase = CLOSING;
    for (size_t i = 0; i < sessions.server_count; i++) {
        sessions.servers[i]->conn.paused = false;
        conn_update(&sessions.servers[i]->conn);
    }
    sessions_close_browsers();
    while (sessions.server_count && now_ns() < limit)
        turn(limit);
    sessions_close_servers();
    say("closed");
}

/* Runs one scenario as the command line says. */
int main(int count, char **words)
{
    signal(SIGPIPE, SIG_IGN);
    options_read(count, words);
    run.chunks_a_turn = options.size < BYTES_A_TURN ? (int)(BYTES_A_TURN / options.size) : 1;
    run.wanted_sessions = options.sessions;
    run.scenario->prepare();
    sockets_raise_limit(2 * (run.wanted_sessions + options.connecting) + 64);
    loop_start();
    if (options.relay)
        sockets_resolve_relay(options.relay);
    if (options.tls)
        tls_prepare(options.tls_version);
    if (options.paths)
        paths_load(options.paths);
    if (paths_left() < run.wanted_sessions + run.later_sessions)
        fail("--paths has %zu lines, too few for this run", paths_left());
    control_start();
    servers_listen();
    open_sessions();
    run.phase = READY;
    say("ready");
    if (!run.until_close && !wait_for(&control.go))
        fail("the input ended before the word go");
    measure();
    wait_for(&control.close);
    close_all();
    return 0;
}
