/** The console link: what the page's address says, and where the websocket is. */

/**
 * @typedef {object} Link
 * @property {string} token      the token as it was made, '' if the address has none
 * @property {string} socketUrl  the websocket's address, token included
 * @property {boolean} showDot   draw a dot where the VM shows no pointer
 * @property {boolean} wasOpened this page used its link before and was loaded again
 */

/**
 * Reads the link and takes it out of the address bar, because it is a secret that
 * works once: it should be in no history, bookmark or screenshot.
 *
 * @param {Window} window
 * @returns {Link}
 */
export function takeLink(window) {
    const link = readLink(window.location.href);
    const wasOpened = window.history.state?.consoleOpened === true;
    if (link.token) {
        window.history.replaceState({ consoleOpened: true }, '', window.location.pathname);
    }
    return { ...link, wasOpened };
}

/**
 * Reads a page address. Parameters stand in the query or after '#', where they win;
 * those that other console pages know (autoconnect, language, ...) may be there too.
 *
 * @param {string} href
 * @returns {Omit<Link, 'wasOpened'>}
 */
export function readLink(href) {
    const page = new URL(href);
    const given = new Map([...readParameters(page.search), ...readParameters(page.hash)]);
    return {
        token: given.get('token') ?? '',
        socketUrl: socketUrl(page, given),
        showDot: given.get('show_dot') !== 'false',
    };
}

/**
 * @param {URL} page
 * @param {Map<string, string>} given
 */
function socketUrl(page, given) {
    const url = new URL('/', page);
    url.protocol = page.protocol === 'https:' ? 'wss:' : 'ws:';
    // The page's own port, also where it is the scheme's default and so not written.
    url.port = /^\d{1,5}$/.test(given.get('port') ?? '') ? given.get('port') : page.port;
    const host = given.get('host');
    if (host) {
        url.hostname = host.includes(':') && !host.startsWith('[') ? `[${host}]` : host;
    }
    url.pathname = given.get('path') || 'websockify';
    const extra = given.get('extra');
    url.search = `token=${encodeURIComponent(given.get('token') ?? '')}`
        + (extra ? `&extra=${encodeURIComponent(extra)}` : '');
    return url.href;
}

/**
 * Splits by hand: URLSearchParams would turn the '+' of a raw base64 token into a space.
 *
 * @param {string} text  a query or fragment with its '?' or '#'
 * @returns {[string, string][]}
 */
function readParameters(text) {
    return text.slice(1).split('&').filter((pair) => pair.includes('=')).map((pair) => {
        const at = pair.indexOf('=');
        return [pair.slice(0, at), decodeOnce(pair.slice(at + 1))];
    });
}

/** @param {string} text */
function decodeOnce(text) {
    try {
        return decodeURIComponent(text);
    } catch {
        return text;
    }
}
