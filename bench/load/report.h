/* What goes to the driver: lines on standard output, and the failure line that ends the program. */
#ifndef REPORT_H
#define REPORT_H

#include <stdio.h>

void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
void print_json_text(FILE *to, const char *text);

#endif
