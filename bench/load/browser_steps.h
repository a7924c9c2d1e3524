/* The RFB handshake at the browser's end, and what it shares with browser.c. */
#ifndef BROWSER_STEPS_H
#define BROWSER_STEPS_H

#include "browser.h"

size_t browser_take_steps(struct browser *b, const uint8_t *data, size_t size);
void browser_control(struct browser *b, enum opcode opcode, const uint8_t *data, size_t size);
void browser_begin(struct browser *b);
void browser_take_bytes(struct browser *b, const uint8_t *data, size_t size);

#endif
