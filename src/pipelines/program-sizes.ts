import type { Transform } from './executor.ts'

/** The kernel's bound of one argument, or one variable with its name, less its NUL (MAX_ARG_STRLEN). */
const textBytesMax = 131_071
/**
 * The kernel's bound of all that a program is given, as it usually is, less as much again as one of them may
 * have: what the server adds.
 */
const totalBytesMax = 2 * 1024 * 1024 - 128 * 1024
/** Of a text: its NUL, and where it is. */
const bytesAround = 9

/**
 * What of a program's arguments and variables is more than the kernel gives to a program, in words that
 * begin with the name of the field; undefined when nothing is.
 */
export function programSizeFault(
  { command, environment }: Pick<Transform, 'command' | 'environment'>,
  field: 'cmd' | 'err_cmd' = 'cmd',
): string | undefined {
  let total = 0
  for (const [index, argument] of command.entries()) {
    const bytes = Buffer.byteLength(argument)
    if (bytes > textBytesMax) {
      return `transform.${field}[${index}] has ${bytes} bytes, and the kernel gives a program at most ${textBytesMax} in one argument: put long code into "stdin", a file of a repo, or an image`
    }
    total += bytes + bytesAround
  }
  for (const [name, value] of Object.entries(environment)) {
    const bytes = Buffer.byteLength(`${name}=${value}`)
    if (bytes > textBytesMax) {
      const shown = JSON.stringify(name.slice(0, 100))
      return `transform.env has ${bytes} bytes in ${shown}, and the kernel gives a program at most ${textBytesMax} in one variable, with its name and "=": put long values into a file of a repo`
    }
    total += bytes + bytesAround
  }
  if (total <= totalBytesMax) return undefined
  return `transform.${field} and transform.env have ${total} bytes together, and the kernel gives a program at most ${totalBytesMax}, besides what the server adds: put long texts into "stdin", or a file of a repo`
}
