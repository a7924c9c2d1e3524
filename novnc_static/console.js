/**
 * The console page, from its address to its end.
 *
 * Order matters: the link is taken out of the address bar first, noVNC is loaded
 * second, and only then is the websocket opened, because that uses the link up.
 */

import { takeLink } from './link.js';
import { LOCAL_ENDS } from './reasons.js';
import { Session } from './session.js';
import { setUpToolbar } from './toolbar.js';
import { View } from './view.js';

/** Where noVNC's class is served; loaded by hand so that a failure can be told. */
const VIEWER = '/static/novnc/core/rfb.js';

async function openConsole() {
    const view = new View(document);
    view.showState('contacting');
    const link = takeLink(window);
    if (!link.token) {
        view.showEnd(link.wasOpened ? LOCAL_ENDS.reloaded : LOCAL_ENDS.noToken);
        return;
    }
    let RFB;
    try {
        RFB = (await import(VIEWER)).default;
    } catch {
        view.showEnd(LOCAL_ENDS.viewerMissing);
        return;
    }
    const session = new Session(RFB, view);
    setUpToolbar(session, view);
    session.open(link);
}

// A new link after '#', put into this window's address bar, loads nothing by itself.
window.addEventListener('hashchange', () => window.location.reload());
openConsole();
