/** Opening a console in a window of its own. */

const FEATURES = 'popup,width=1120,height=780';

/**
 * Asks for a console and shows it in a new window. Call it straight from a click:
 * the window opens before the question is asked, since browsers block it later.
 *
 * @param {string} id  the machine's
 * @returns {Promise<string>}  '' or the sentence that tells why not
 */
export async function openConsole(id) {
    const opened = window.open('about:blank', '_blank', FEATURES);
    if (!opened) {
        return 'Your browser blocked the new window. Allow pop-ups for this page, then try again.';
    }
    prepare(opened);
    try {
        const url = await askForConsole(id);
        if (opened.closed) {
            return '';
        }
        opened.location.replace(url);
        return '';
    } catch (error) {
        opened.close();
        return error instanceof Refusal ? error.message : 'The console could not be opened: the server did not answer.';
    }
}

/** A no in the server's own words. */
class Refusal extends Error {}

/** Dark at once, so that no white window flashes up; and without a way back to this page. */
function prepare(opened) {
    opened.opener = null;
    opened.document.title = 'Opening the console\u2026';
    opened.document.documentElement.style.background = '#0c1015';
}

/**
 * @param {string} id
 * @returns {Promise<string>}  the page's address, good for one use
 */
async function askForConsole(id) {
    const answer = await fetch('/demo/console', {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', Accept: 'application/json' },
        body: JSON.stringify({ id }),
    });
    const { url, error } = await answer.json();
    if (!answer.ok || !url) {
        throw new Refusal(error || 'The console could not be opened.');
    }
    const address = new URL(url, window.location.href);
    if (!['http:', 'https:'].includes(address.protocol)) {
        throw new Refusal('The server answered with an address that is no web page.');
    }
    return address.href;
}
