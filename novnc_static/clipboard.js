/** Putting text on the clipboard, also on pages that browsers call insecure. */

/**
 * Call it from a click: browsers want a person behind it.
 *
 * @param {string} text
 * @returns {Promise<boolean>}  whether it was copied
 */
export async function copyText(text) {
    try {
        await navigator.clipboard.writeText(text);
        return true;
    } catch {
        // Under plain http there is no navigator.clipboard.
        return copyBySelection(text);
    }
}

/** @param {string} text */
function copyBySelection(text) {
    const before = document.activeElement;
    const field = document.createElement('textarea');
    field.className = 'off-screen';
    field.value = text;
    document.body.append(field);
    field.select();
    const isCopied = document.execCommand('copy');
    field.remove();
    before?.focus();
    return isCopied;
}
