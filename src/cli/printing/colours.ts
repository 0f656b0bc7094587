import type { Output } from '../../base/output.ts'

const codes = { yellow: 33, green: 32, red: 31 } as const

export type Colour = keyof typeof codes

/** Coloured on a terminal, else as it is. */
export function coloured(out: Output, colour: Colour, text: string): string {
  return out.isTerminal ? `\u001b[${codes[colour]}m${text}\u001b[0m` : text
}
