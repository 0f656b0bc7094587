import { constants } from 'node:os'

/** The number of a signal, as shells add it to 128; 0 when there was none. */
export function signalNumber(name: NodeJS.Signals | null): number {
  return name === null ? 0 : constants.signals[name]
}
