/* Every line is flushed at once: the driver reads CPU times when it sees them. */
#include "report.h"

#include <stdarg.h>
#include <stdlib.h>

/* Prints one line to the driver. */
void say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    if (fflush(stdout) != 0)
        exit(1);
}

/* Prints a text as a JSON string with its quotes. */
void print_json_text(FILE *to, const char *text)
{
    fputc('"', to);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            fprintf(to, "\\%c", c);
        else if (c < 0x20 || c > 0x7e)
            fprintf(to, "\\u%04x", c);
        else
            fputc(c, to);
    }
    fputc('"', to);
}

/* Prints {"error": "..."} and ends the program with status 1. */
void fail(const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fputs("{\"error\": ", stdout);
    print_json_text(stdout, text);
    fputs("}\n", stdout);
    fflush(stdout);
    exit(1);
}
