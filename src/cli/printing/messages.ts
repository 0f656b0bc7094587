import { writtenOut } from './visible.ts'

/** What is told of a message in a table, in characters. */
const shortLengthMax = 50

// Colours are for our own words, so what begins one is written out, too; and so is what reverses
// text, or ends a line in some programs only.
const unsafe = /[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}]/gu

/** What somebody said of a commit, on one line, with all characters that do something written out. */
export function messageText(message: string): string {
  return message.replaceAll(unsafe, writtenOut)
}

/** The beginning of its first line. */
export function shortMessageText(message: string): string {
  const trimmed = message.trim()
  const line = trimmed.split(/[\r\n]/, 1)[0] ?? ''
  const characters = Array.from(messageText(line))
  if (characters.length <= shortLengthMax) {
    return line === trimmed ? characters.join('') : `${characters.join('')}…`
  }
  return `${characters.slice(0, shortLengthMax - 1).join('')}…`
}
