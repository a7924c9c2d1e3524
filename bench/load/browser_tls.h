/* How a browser that speaks TLS shakes hands and reads. */
#ifndef BROWSER_TLS_H
#define BROWSER_TLS_H

#include "browser.h"

void browser_tls_start(struct browser *b);
void browser_tls_read(struct browser *b, size_t most);

#endif
