/** The start page: the virtual machines, and a button for each that opens its console. */

import { openConsole } from './opener.js';

/**
 * @typedef {object} Machine
 * @property {string} id
 * @property {string} name
 * @property {string} displayname
 * @property {string} description
 * @property {string} state  such as `running`
 */

const status = document.getElementById('status');
const list = document.getElementById('machines');
const again = document.getElementById('again');

async function showMachines() {
    list.replaceChildren();
    again.hidden = true;
    status.textContent = 'Looking for virtual machines\u2026';
    list.setAttribute('aria-busy', 'true');
    try {
        const machines = await readMachines();
        list.replaceChildren(...machines.map(makeCard));
        status.textContent = machines.length ? '' : 'There are no virtual machines yet.';
    } catch {
        status.textContent = 'The list of virtual machines could not be loaded.';
        again.hidden = false;
    }
    list.removeAttribute('aria-busy');
}

/** @returns {Promise<Machine[]>} */
async function readMachines() {
    const answer = await fetch('/demo/instances', { headers: { Accept: 'application/json' } });
    if (!answer.ok) {
        throw new Error(`HTTP ${answer.status}`);
    }
    return answer.json();
}

/** @param {Machine} machine */
function makeCard(machine) {
    const card = document.getElementById('machine').content.cloneNode(true).firstElementChild;
    const name = machine.displayname || machine.name;
    card.querySelector('.machine-name').textContent = name;
    card.querySelector('.machine-description').textContent = machine.description ?? '';
    const state = card.querySelector('.state');
    state.textContent = machine.state ?? '';
    state.dataset.state = (machine.state ?? '').toLowerCase();
    const button = card.querySelector('.open');
    button.setAttribute('aria-label', `Open console of ${name}`);
    button.addEventListener('click', () => openFromCard(machine, card));
    return card;
}

/**
 * @param {Machine} machine
 * @param {HTMLElement} card
 */
async function openFromCard(machine, card) {
    const button = card.querySelector('.open');
    const error = card.querySelector('.machine-error');
    if (button.getAttribute('aria-disabled') === 'true') {
        return;
    }
    // Not `disabled`, which would throw the keyboard's focus away.
    button.setAttribute('aria-disabled', 'true');
    button.textContent = 'Opening\u2026';
    error.textContent = '';
    error.textContent = await openConsole(machine.id);
    button.removeAttribute('aria-disabled');
    button.textContent = 'Open console';
}

again.addEventListener('click', () => showMachines());
showMachines();
