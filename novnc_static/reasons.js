/** Why a console ended, in plain words. The proxy's own words always come first. */

/**
 * @typedef {object} Ending
 * @property {string} reason  one word, the same that the proxy logs where it has one
 * @property {string} text    the sentence for a person
 * @property {string} advice  what to do, '' where the sentence says it
 * @property {number} code    the websocket close code, 0 where no websocket was opened
 * @property {string} ref     the reference number in the proxy's log, '' if unknown
 */

const OPEN_AGAIN = 'Open the console again.';
const ASK = 'If this happens again, give the reference to your administrator.';

/** What to do, for reasons whose sentence does not say it. */
const ADVICE = {
    __proto__: null, // a reason is a word from outside
    'extra-token': 'Open the console again from where you started it.',
    'source-address': 'Open the console again from the network that you are on now.',
    'in-use': 'Wait until they are done, then open the console again.',
    'vm-unreachable': `Check that the machine is switched on, then open the console again. ${ASK}`,
    'vm-refused': 'Check that it is switched on, then open the console again.',
    'vm-timeout': `Wait a moment, then open the console again. ${ASK}`,
    'vm-tls': 'Your administrator can find the cause under the reference.',
    'vm-password': 'Your administrator can find the cause under the reference.',
    'vm-protocol': 'Your administrator can find the cause under the reference.',
    'vm-closed': 'When it is running, open the console again.',
    'idle': OPEN_AGAIN,
    'max-duration': OPEN_AGAIN,
    'internal': `Open the console again. ${ASK}`,
    'browser-timeout': OPEN_AGAIN,
    'browser-protocol': `Open the console again. ${ASK}`,
};

/** Ends that the page itself causes or finds. */
export const LOCAL_ENDS = {
    reloaded: local('reloaded',
        'This page was reloaded. A console link works once: open the console again from where you started it.'),
    noToken: local('no-token',
        'This address is not a whole console link: its token is missing.',
        'Open the console from the page that lists your virtual machines.'),
    viewerMissing: local('viewer-missing',
        'The program that shows the screen could not be loaded.',
        'Your browser may be too old for it, or the console proxy is not installed completely. '
        + 'Your console link was not used up.'),
    badAddress: local('bad-address',
        'The address of the console proxy in this link makes no sense.',
        'Open the console again from where you started it.'),
    viewerFailed: local('viewer-failed',
        'Your browser could not make sense of the picture that the virtual machine sent.', OPEN_AGAIN),
    passwordAsked: local('password-asked',
        'The virtual machine asks for a password here, which this page never sends.',
        'Your administrator can set the console up without one.'),
};

/**
 * What RFC 6455's own close codes mean (7.4.1 and its registry), where the proxy could not say a word.
 */
const CLOSES = {
    1000: { reason: 'closed', text: 'The console was closed.', advice: '' },
    1001: { reason: 'going-away', text: 'The console proxy went away.', advice: OPEN_AGAIN },
    1005: { reason: 'closed', text: 'The console was closed, and no reason was given.', advice: OPEN_AGAIN },
    1006: {
        reason: 'connection-lost',
        text: 'The connection to the console proxy was lost.',
        advice: 'Check your network, then open the console again.',
    },
    1009: {
        reason: 'too-big',
        text: 'Your browser sent more at once than the console proxy takes.',
        advice: OPEN_AGAIN,
    },
    1011: { reason: 'internal', text: 'Something went wrong inside the console proxy.', advice: OPEN_AGAIN },
    1012: { reason: 'restarting', text: 'The console proxy is restarting.', advice: 'Try again in a moment.' },
    1013: { reason: 'try-later', text: 'The console proxy has too much to do.', advice: 'Try again later.' },
};

const MISUNDERSTOOD = {
    reason: 'misunderstood',
    text: 'Your browser and the console proxy did not understand each other.',
    advice: OPEN_AGAIN,
};

const NEVER_REACHED = {
    reason: 'proxy-unreachable',
    text: 'The console proxy could not be reached.',
    advice: 'Check your network. It looks the same when your browser does not trust the proxy\u2019s certificate. '
        + 'Then open the console again from where you started it.',
};

/**
 * Tells why a console ended, from the proxy's `end` event or from the close alone.
 *
 * @param {{code: number, reason: string}} close  a CloseEvent will do
 * @param {{reason?: unknown, text?: unknown, ref?: unknown}} words  the `end` event, {} if none came
 * @param {boolean} wasOpen  the websocket had been open
 * @returns {Ending}
 */
export function endingOf(close, words, wasOpen) {
    const written = /^([a-z][a-z0-9-]{0,39}) ref=([\w-]{1,40})$/.exec(close.reason);
    const reason = asText(words.reason) || (written?.[1] ?? '');
    const ref = asText(words.ref) || (written?.[2] ?? '');
    const text = asText(words.text);
    if (text) {
        return { reason: reason || 'closed', text, advice: ADVICE[reason] ?? '', code: close.code, ref };
    }
    const known = knownClose(close.code, wasOpen);
    if (known) {
        return { ...known, reason: reason || known.reason, code: close.code, ref };
    }
    const word = reason || `code ${close.code}`;
    const lost = `The console proxy ended this console (${word}), but its explanation did not arrive.`;
    return { reason: reason || 'closed', text: lost, advice: ADVICE[reason] || OPEN_AGAIN, code: close.code, ref };
}

/**
 * @param {number} code
 * @param {boolean} wasOpen
 */
function knownClose(code, wasOpen) {
    if (code === 1006 && !wasOpen) {
        return NEVER_REACHED;
    }
    if ([1002, 1003, 1007, 1008, 1010].includes(code)) {
        return MISUNDERSTOOD;
    }
    return CLOSES[code] ?? null;
}

/** @returns {string} */
function asText(value) {
    return typeof value === 'string' ? value : '';
}

/** @returns {Ending} */
function local(reason, text, advice = '') {
    return Object.freeze({ reason, text, advice, code: 0, ref: '' });
}
