/** The websocket to the proxy: text frames are ours, binary frames are noVNC's. */

/** The proxy tells its steps in words under the first; under the second it sends RFB alone. */
const SUBPROTOCOLS = ['consoleproxy.v1', 'binary'];

/**
 * @typedef {object} ChannelListener
 * @property {(event: {event: string}) => void} onEvent  the proxy said something
 * @property {() => void} onSilentOpen  it is open, and the proxy will send no text
 * @property {(close: CloseEvent) => void} onClose  it is closed, or never opened
 */

/**
 * Opens the websocket. Hand the result to `new RFB(element, socket)` when the proxy
 * says that the VM is ready.
 *
 * noVNC sets `onmessage` and `onclose` on it later, and listeners run in the order in
 * which they came: ours hear everything first, and keep the text from noVNC.
 *
 * @param {string} url
 * @param {ChannelListener} listener
 * @returns {WebSocket}
 */
export function openChannel(url, listener) {
    const socket = new WebSocket(url, SUBPROTOCOLS);
    socket.binaryType = 'arraybuffer';
    socket.addEventListener('open', () => {
        if (socket.protocol !== SUBPROTOCOLS[0]) {
            listener.onSilentOpen();
        }
    });
    socket.addEventListener('message', (message) => {
        if (typeof message.data !== 'string') {
            return;
        }
        message.stopImmediatePropagation();
        const event = readEvent(message.data);
        if (event) {
            listener.onEvent(event);
        }
    });
    socket.addEventListener('close', (close) => listener.onClose(close));
    return socket;
}

/**
 * @param {string} text
 * @returns {{event: string} | null}  null for what is no event, which is ignored
 */
function readEvent(text) {
    try {
        const event = JSON.parse(text);
        return typeof event?.event === 'string' ? event : null;
    } catch {
        return null;
    }
}
