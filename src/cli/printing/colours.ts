import type { Output } from '../../base/output.ts'

const codes = { yellow: 33, green: 32, red: 31 } as const

export type Colour = keyof typeof codes

/** Coloured on a terminal, else as it is. */
export function coloured(out: Output, colour: Colour, text: string): string {
  return out.isTerminal ? `\u001b[${codes[colour]}m${text}\u001b[0m` : text
}

const colouredText = new RegExp(
  String.raw`^\u001b\[(?:${Object.values(codes).join('|')})m\P{Cc}*\u001b\[0m$`,
  'u',
)

/** Whether the whole of `text` is as `coloured` makes it. */
export function isColoured(text: string): boolean {
  return colouredText.test(text)
}
