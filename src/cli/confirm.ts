import type { CommandContext } from './command.ts'
import { DeclinedError } from './errors.ts'

/** Asks, and goes on only after a yes. @throws {DeclinedError} that says what did not happen. */
export async function confirm(
  { out, input }: CommandContext,
  question: string,
  otherwise: string,
): Promise<void> {
  await out.line(question)
  if (!/^y/i.test(await input.firstLine())) throw new DeclinedError(otherwise)
}
