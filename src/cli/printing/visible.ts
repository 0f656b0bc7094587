// With what reverses text, or ends a line in some programs only.
const unsafe = /[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}]/gu
const shortForms: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }

/**
 * `text` on one line, with all characters that do something written out, as in `\n`: what people
 * named or said can neither break the line that it is on nor command the terminal.
 */
export function visible(text: string): string {
  return text.replaceAll(unsafe, writtenOut)
}

/** As `visible`, of a text that has lines. */
export function visibleLines(text: string): string {
  return text.split('\n').map(visible).join('\n')
}

/** `\n`, `\x1b` or `\u202e` for the character itself. */
function writtenOut(character: string): string {
  const code = character.charCodeAt(0).toString(16).padStart(2, '0')
  return shortForms[character] ?? (code.length > 2 ? `\\u${code}` : `\\x${code}`)
}
