/** What the page shows. Whatever comes from outside goes in as text, never as HTML. */

import { copyText } from './clipboard.js';

/** The steps in their order; `ended` follows any of them. */
const STATES = ['contacting', 'dialling', 'handshake', 'connected'];

export class View {
    /** @param {Document} document */
    constructor(document) {
        this.stage = document.getElementById('stage');
        this._document = document;
        this._root = document.documentElement;
        this._name = '';
        this._details = '';
        this._element('progress').hidden = false;
        this._element('copy').addEventListener('click', () => this._copyDetails());
    }

    /** What to call the VM in a sentence. */
    get label() {
        return this._name || 'the virtual machine';
    }

    /** @param {unknown} name  the VM's display name as the proxy tells it */
    showName(name) {
        if (typeof name !== 'string' || !name.trim()) {
            return;
        }
        this._name = name;
        this._element('name').textContent = name;
        this._element('name').title = name;
        this._element('progress-name').textContent = name;
        this._showTitle();
    }

    /** Takes the VNC server's own name, but only where the proxy gave none. */
    offerName(name) {
        if (!this._name) {
            this.showName(name);
        }
    }

    /** @param {string} state  one of STATES */
    showState(state) {
        this._root.dataset.state = state;
        const reached = STATES.indexOf(state);
        STATES.forEach((name, position) => {
            const step = this._root.querySelector(`[data-step="${name}"]`);
            step.classList.toggle('done', position < reached);
            if (position === reached) {
                step.setAttribute('aria-current', 'step');
                this.announce(step.textContent);
            } else {
                step.removeAttribute('aria-current');
            }
        });
        this._element('ctrl-alt-del').disabled = state !== 'connected';
    }

    /** Says something in the bar, aloud too for who uses a screen reader. */
    announce(text) {
        this._element('status').textContent = text;
    }

    /** @param {import('./reasons.js').Ending} ending */
    showEnd(ending) {
        const wasOpened = this._root.dataset.state === 'connected' || ending.reason === 'reloaded';
        this._root.dataset.state = 'ended';
        this._root.dataset.reason = ending.reason;
        this._details = this._describe(ending);
        this._element('ctrl-alt-del').disabled = true;
        this._element('panel-title').textContent = wasOpened ? 'The console has ended' : 'The console could not be opened';
        this._element('panel-text').textContent = ending.text;
        this._element('panel-advice').textContent = ending.advice;
        this._element('panel-ref').textContent = ending.ref;
        this._element('panel-reference').hidden = !ending.ref;
        this._element('progress').hidden = true;
        this._element('panel').hidden = false;
        // The panel itself, not its button: a key meant for the VM must not press anything.
        this._element('panel').focus();
        this.announce(wasOpened ? 'Ended' : 'Not opened');
        this._showTitle();
    }

    _element(id) {
        return this._document.getElementById(id);
    }

    _showTitle() {
        const name = this._name ? `${this._name} \u2013 Console` : 'Console';
        this._document.title = this._root.dataset.state === 'ended' ? `Ended: ${name}` : name;
    }

    /** @param {import('./reasons.js').Ending} ending */
    _describe(ending) {
        return [
            ...(this._name ? [`Console of: ${this._name}`] : []),
            ending.text,
            `Reason: ${ending.reason}${ending.code ? ` (${ending.code})` : ''}`,
            ...(ending.ref ? [`Reference: ${ending.ref}`] : []),
            `Time: ${new Date().toISOString()}`,
        ].join('\n');
    }

    async _copyDetails() {
        const isCopied = await copyText(this._details);
        this._element('copy').textContent = isCopied ? 'Copied' : 'Copy details';
        this.announce(isCopied ? 'Details copied' : 'Your browser does not let this page copy');
    }
}
