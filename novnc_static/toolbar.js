/** The bar's buttons, and the keys that lead to it. */

/**
 * @param {import('./session.js').Session} session
 * @param {import('./view.js').View} view
 */
export function setUpToolbar(session, view) {
    const ctrlAltDel = document.getElementById('ctrl-alt-del');
    ctrlAltDel.addEventListener('click', () => {
        session.screen.sendCtrlAltDel();
        session.screen.refocus();
        view.announce('Ctrl+Alt+Del sent');
    });
    setUpFullScreen(document.getElementById('full-screen'), session);
    setUpWayOut(view.stage, ctrlAltDel);
}

/**
 * @param {HTMLElement} button  stays hidden where the browser has no full screen (telephones)
 * @param {import('./session.js').Session} session
 */
function setUpFullScreen(button, session) {
    button.hidden = !document.fullscreenEnabled;
    button.addEventListener('click', async () => {
        try {
            await (document.fullscreenElement
                ? document.exitFullscreen()
                : document.documentElement.requestFullscreen({ navigationUI: 'hide' }));
        } catch {
            // The browser said no; the page goes on as it is.
        }
        session.screen.refocus();
    });
    document.addEventListener('fullscreenchange', () => {
        button.textContent = document.fullscreenElement ? 'Leave full screen' : 'Full screen';
    });
}

/**
 * The screen takes every key, Tab too: Ctrl+Alt+Shift, pressed and let go with no other
 * key, is the way out for who has no pointer. (WCAG 2.1, 2.1.2)
 *
 * @param {HTMLElement} stage
 * @param {HTMLElement} target
 */
function setUpWayOut(stage, target) {
    let isArmed = false;
    stage.addEventListener('keydown', (event) => {
        isArmed = ['Control', 'Alt', 'Shift'].includes(event.key)
            && event.ctrlKey && event.altKey && event.shiftKey;
    }, { capture: true });
    stage.addEventListener('keyup', () => {
        if (isArmed) {
            isArmed = false;
            target.focus();
        }
    }, { capture: true });
    // noVNC lets all keys go when the window loses the focus. To the VM it is the same
    // when the bar takes it: without this, Ctrl would stay pressed there.
    stage.addEventListener('focusout', () => window.dispatchEvent(new FocusEvent('blur')));
}
