/* One table says what each option is called, where its value goes and what --help tells about it. */
#include "options.h"

#include "load.h"
#include "report.h"

#include <stdlib.h>
#include <string.h>

struct options options = {
    .direction = "down", .ping = "text", .tls_version = "1.3", .sessions = 1, .connecting = 32, .streams = 1, .seconds = 5, .warmup = 1,
    .deadline = 60, .rate = 200000, .total = 1000, .warmup_total = 100, .seed = 1, .rest = 3,
    .amount = 1024 * 1024,
};

enum kind { FLAG, WORD, COUNT, SIZE, BIG, REAL };

struct option {
    const char *name;
    enum kind kind;
    void *value;
    const char *argument;
    const char *help;
};

static const struct option table[] = {
    {"--vnc-port", COUNT, &options.vnc_port, "P", "listen here on 127.0.0.1 and play the VNC servers"},
    {"--relay", WORD, &options.relay, "HOST:PORT", "where the browsers connect"},
    {"--raw", FLAG, &options.raw, "", "the relay carries TCP: browsers speak RFB without a websocket"},
    {"--tls", FLAG, &options.tls, "", "browsers speak TLS to the relay, and verify nothing"},
    {"--tls-version", WORD, &options.tls_version, "1.2|1.3", "the only version that they speak (1.3)"},
    {"--paths", WORD, &options.paths, "FILE", "request paths, a line for each session; a single line serves all"},
    {"--sessions", COUNT, &options.sessions, "N", "how many sessions (1)"},
    {"--seconds", REAL, &options.seconds, "S", "length of the measured interval (5)"},
    {"--warmup", REAL, &options.warmup, "S", "the same load before it, not measured (1)"},
    {"--size", SIZE, &options.size, "BYTES", "of a chunk (65536), a burst (262144), a ping, pong or update (100)"},
    {"--interval", REAL, &options.interval, "S", "idle, fair: seconds from update to update (1; fair: 0.1)"},
    {"--ping", WORD, &options.ping, "text|key", "pingpong: what the browser sends (text)"},
    {"--streams", COUNT, &options.streams, "K", "fair: streaming sessions beside the quiet ones (1)"},
    {"--rate", REAL, &options.rate, "BYTES", "slow, verify: what a slow end reads in a second (200000)"},
    {"--direction", WORD, &options.direction, "down|up", "slow: who pushes, the VNC server or the browser (down)"},
    {"--total", BIG, &options.total, "T", "storm: handshakes to measure (1000)"},
    {"--warmup-total", BIG, &options.warmup_total, "K", "storm: handshakes before them (100)"},
    {"--picture", FLAG, &options.picture, "", "storm: wait for a whole 640x480 picture in each session"},
    {"--amount", BIG, &options.amount, "BYTES", "carry: what each session gets in all (1 MiB)"},
    {"--rest", REAL, &options.rest, "S", "carry: how long all are still before `done` (3)"},
    {"--connecting", COUNT, &options.connecting, "C", "at most so many sessions are on their way up at once (32)"},
    {"--deadline", REAL, &options.deadline, "S", "longest wait for a handshake or an end (60)"},
    {"--seed", BIG, &options.seed, "X", "verify, churn: makes the choices repeatable (1)"},
};

static const struct {
    const struct scenario *scenario;
    const char *help;
} scenarios[] = {
    {&bulk, "VNC servers write chunks as fast as they may; units are bytes at the browsers"},
    {&upload, "browsers send cut text as fast as they may; units are bytes at the servers"},
    {&pingpong, "a message to the server, as many bytes back, then the next one; latency of the round trip"},
    {&idle, "an update for each session every interval, evenly spread; one-way latency"},
    {&fair, "idle beside sessions that stream; latency of the quiet ones"},
    {&carry, "each session gets --amount bytes from its server, in bursts, then all are still; memory is seen at `done`"},
    {&storm, "RFB handshakes, one session after the other in C lanes; latency from connect() on"},
    {&slow, "one end pushes, the other reads --rate bytes a second: how much lies in between?"},
    {&serve, "VNC servers alone that answer requests with a picture, until close"},
    {&verify, "random bytes both ways, slow readers, pings, resets and closes; every byte is compared"},
    {&churn, "sessions that come and go for a long time, with a `tick` line every 5 s"},
};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static const char introduction[] =
    "usage: load SCENARIO --vnc-port P --relay HOST:PORT [--raw | --paths FILE] [options]\n\n"
    "Plays N browsers that connect to a relay, and the N VNC servers that the relay reaches at 127.0.0.1:P,\n"
    "in one thread. Sessions are real RFB 3.8 sessions with security None; over a websocket (subprotocol\n"
    "binary) unless --raw is given.\n";

static const char protocol[] =
    "\nlines on standard output, each flushed at once, and words that it waits for on standard input:\n"
    "  ready           all sessions are up (storm, serve: it listens); waits for `go`\n"
    "  measuring       the warm-up is over, the measured interval begins\n"
    "  done {json}     it is over; the sessions are still open; waits for `close` or the end of the input\n"
    "  closed          all is closed, status 0\n"
    "  {\"error\": ...}  it failed, status 1\n"
    "serve needs no `go`: it runs from `ready` to `close`. To try by hand, words may be sent ahead:\n"
    "  printf 'go\\nclose\\n' | load bulk --vnc-port 5901 --relay 127.0.0.1:6080 --sessions 4 --seconds 3\n"
    "  printf 'go\\nclose\\n' | load bulk --vnc-port 5901 --relay 127.0.0.1:5901 --raw     (no relay: the\n"
    "      browsers connect to the servers, which shows how fast the generator itself is)\n";

/* Prints all that there is to know and ends. */
static void print_help(void)
{
    fputs(introduction, stdout);
    fputs("\nscenarios:\n", stdout);
    for (size_t i = 0; i < LENGTH(scenarios); i++)
        printf("  %-15s %s\n", scenarios[i].scenario->name, scenarios[i].help);
    fputs("\noptions (their defaults in brackets):\n", stdout);
    for (size_t i = 0; i < LENGTH(table); i++) {
        char left[40];
        snprintf(left, sizeof left, "%s %s", table[i].name, table[i].argument);
        printf("  %-23s %s\n", left, table[i].help);
    }
    fputs(protocol, stdout);
    exit(0);
}

/* Reads a number that is not negative. */
static double read_number(const char *name, const char *text)
{
    char *end;
    double number = strtod(text, &end);
    if (end == text || *end || !(number >= 0 && number < 1e15))
        fail("%s wants a number, not %s", name, text);
    return number;
}

/* Stores the value of one option. */
static void store(const struct option *option, const char *text)
{
    switch (option->kind) {
    case FLAG:
        *(bool *)option->value = true;
        break;
    case WORD:
        *(const char **)option->value = text;
        break;
    case COUNT:
        *(unsigned *)option->value = (unsigned)read_number(option->name, text);
        break;
    case SIZE:
        *(size_t *)option->value = (size_t)read_number(option->name, text);
        break;
    case BIG:
        *(uint64_t *)option->value = (uint64_t)read_number(option->name, text);
        break;
    case REAL:
        *(double *)option->value = read_number(option->name, text);
    }
}

/* Finds the scenario of this name. */
static void choose_scenario(const char *name)
{
    for (size_t i = 0; i < LENGTH(scenarios); i++)
        if (strcmp(name, scenarios[i].scenario->name) == 0)
            run.scenario = scenarios[i].scenario;
    if (!run.scenario)
        fail("there is no scenario %s; --help lists them", name);
    options.scenario = name;
}

/* Refuses what cannot be run, and fills in the defaults that depend on the scenario. */
static void check(void)
{
    bool large = run.scenario == &bulk || run.scenario == &upload || run.scenario == &fair || run.scenario == &slow;
    if (!options.size && run.scenario == &carry)
        options.size = 256 * 1024;
    if (!options.size)
        options.size = large ? 65536 : 100;
    if (options.interval == 0)
        options.interval = run.scenario == &fair ? 0.1 : 1;
    if (options.size < 16 || options.size > 64 * 1024 * 1024)
        fail("--size is at least 16 and at most 64 MiB");
    if (!options.vnc_port || options.vnc_port > 65535)
        fail("--vnc-port P is needed; --help tells more");
    if (!options.relay && run.scenario != &serve)
        fail("--relay HOST:PORT is needed; --help tells more");
    if (!options.sessions || !options.connecting)
        fail("--sessions and --connecting are at least 1");
    if (strcmp(options.tls_version, "1.2") != 0 && strcmp(options.tls_version, "1.3") != 0)
        fail("--tls-version is 1.2 or 1.3");
    if (strcmp(options.ping, "text") != 0 && strcmp(options.ping, "key") != 0)
        fail("--ping is text or key");
    if (strcmp(options.direction, "down") != 0 && strcmp(options.direction, "up") != 0)
        fail("--direction is down or up");
}

/* Reads the command line. */
void options_read(int count, char **words)
{
    for (int i = 1; i < count; i++) {
        const struct option *found = NULL;
        if (strcmp(words[i], "--help") == 0 || strcmp(words[i], "-h") == 0)
            print_help();
        for (size_t j = 0; j < LENGTH(table); j++)
            if (strcmp(words[i], table[j].name) == 0)
                found = &table[j];
        if (!found && words[i][0] != '-' && !run.scenario)
            choose_scenario(words[i]);
        else if (!found)
            fail("%s is no option; --help lists them", words[i]);
        else if (found->kind == FLAG)
            store(found, NULL);
        else if (++i < count)
            store(found, words[i]);
        else
            fail("%s wants a value", found->name);
    }
    if (!run.scenario)
        fail("a scenario is needed; --help lists them");
    check();
}
