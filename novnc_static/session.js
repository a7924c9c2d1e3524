/** One console: the proxy's words and noVNC's events, turned into what the view shows. */

import { openChannel } from './channel.js';
import { LOCAL_ENDS, endingOf } from './reasons.js';
import { Screen } from './screen.js';

export class Session {
    /**
     * Call `open` next. A session is never opened twice: its link works once.
     *
     * @param {Function} RFB  noVNC's class
     * @param {import('./view.js').View} view
     */
    constructor(RFB, view) {
        this.screen = new Screen(RFB, view.stage);
        this._view = view;
        this._socket = null;
        this._wasOpen = false;
        this._isEnded = false;
    }

    /** @param {import('./link.js').Link} link */
    open(link) {
        this._link = link;
        try {
            this._socket = openChannel(link.socketUrl, {
                onEvent: (event) => this._hear(event),
                onSilentOpen: () => this._startScreen(),
                onClose: (close) => this._end(endingOf(close, {}, this._wasOpen)),
            });
        } catch {
            this._end(LOCAL_ENDS.badAddress);
            return;
        }
        this._socket.addEventListener('open', () => { this._wasOpen = true; });
    }

    /** One event of the proxy; those that a newer proxy may add are left alone. */
    _hear(event) {
        if (this._isEnded) {
            return;
        }
        if (event.event === 'end') {
            // The close follows; who waits for it would wait long on a bad line.
            this._end(endingOf({ code: event.code, reason: '' }, event, true));
        } else if (event.event === 'state') {
            this._view.showName(event.name);
            this._follow(event.state);
        }
    }

    _follow(state) {
        if (state === 'ready') {
            this._startScreen();
        } else if (state === 'dialling' || state === 'handshake') {
            this._view.showState(state);
        }
    }

    /** The next binary frame is the VM's: noVNC must be on the socket before it comes. */
    _startScreen() {
        if (this.screen.isStarted || this._isEnded) {
            return;
        }
        this._view.showState('handshake');
        this.screen.start(this._socket, { showDot: this._link.showDot }, {
            onName: (name) => this._view.offerName(name),
            onConnect: () => this._connected(),
            onFailure: (ending) => this._fail(ending),
        });
    }

    _connected() {
        if (this._isEnded) {
            return;
        }
        this._view.showState('connected');
        this.screen.focus(this._view.label);
    }

    /** The picture cannot go on: the proxy hears of it by the close, the person now. */
    _fail(ending) {
        this._end(ending);
        this._socket.close();
    }

    /** Shows the first reason alone: what follows (noVNC's, the close) is its echo. */
    _end(ending) {
        if (this._isEnded) {
            return;
        }
        this._isEnded = true;
        this._view.showEnd(ending);
    }
}
