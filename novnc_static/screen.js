/** The VM's screen: noVNC's RFB object on our stage. */

import { LOCAL_ENDS } from './reasons.js';

/**
 * @typedef {object} ScreenListener
 * @property {(name: string) => void} onName  the VNC server's own name for it
 * @property {() => void} onConnect           the picture is there, keys go to the VM
 * @property {(ending: import('./reasons.js').Ending) => void} onFailure  noVNC gave up
 */

export class Screen {
    /**
     * @param {Function} RFB
     * @param {HTMLElement} stage  noVNC puts its element in here
     */
    constructor(RFB, stage) {
        this._RFB = RFB;
        this._stage = stage;
        this._rfb = null;
    }

    get isStarted() {
        return this._rfb !== null;
    }

    /**
     * Starts the RFB handshake on an open websocket.
     *
     * @param {WebSocket} socket
     * @param {{showDot: boolean}} settings
     * @param {ScreenListener} listener
     */
    start(socket, settings, listener) {
        const rfb = new this._RFB(this._stage, socket);
        rfb.scaleViewport = true;
        rfb.resizeSession = false;
        rfb.showDotCursor = settings.showDot;
        rfb.background = 'transparent';
        const element = this._stage.lastElementChild;
        rfb.addEventListener('desktopname', (event) => listener.onName(event.detail.name));
        rfb.addEventListener('connect', () => listener.onConnect());
        rfb.addEventListener('credentialsrequired', () => listener.onFailure(LOCAL_ENDS.passwordAsked));
        rfb.addEventListener('securityfailure', () => listener.onFailure(LOCAL_ENDS.viewerFailed));
        rfb.addEventListener('disconnect', () => {
            // noVNC takes its element away; the last picture stays, dimmed, for the person.
            this._stage.append(element);
            this._stage.inert = true;
            listener.onFailure(LOCAL_ENDS.viewerFailed);
        });
        this._rfb = rfb;
    }

    /** Lets the keyboard in. @param {string} name  what the screen is called for who cannot see it */
    focus(name) {
        const canvas = this._stage.querySelector('canvas');
        canvas.tabIndex = 0;
        canvas.setAttribute('role', 'application');
        canvas.setAttribute('aria-label', `Screen of ${name}`);
        canvas.setAttribute('aria-describedby', 'hint');
        this.refocus();
    }

    refocus() {
        this._rfb?.focus({ preventScroll: true });
    }

    sendCtrlAltDel() {
        this._rfb?.sendCtrlAltDel();
    }
}
