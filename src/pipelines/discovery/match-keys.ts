import { utf8 } from '../../base/bytes.ts'
import { FailedPreconditionError, InvalidArgumentError } from '../../base/errors.ts'
import { parseCapturingGlob, type CapturingGlob } from '../../base/globs.ts'
import type { FilePath } from '../../base/paths.ts'

const templateLengthMax = 1000
/** Keys of maps hold a match key and a path. */
const keyBytesMax = 8 * 1024

/** Tells what a path has in common with others: its match key. */
export interface MatchKeys {
  readonly glob: CapturingGlob
  /** @throws {FailedPreconditionError} for a key that is too long. */
  keyOf(path: FilePath): string
}

/**
 * The match keys that a glob with captures and a template make: in the template `$1` or `${1}` is
 * what the first parentheses captured, `$$` a dollar sign, and all else itself.
 *
 * @throws {InvalidArgumentError} for a template without captures, or with one that is not there.
 */
export function parseMatchKeys(globText: string, template: string): MatchKeys {
  const glob = parseCapturingGlob(globText)
  const parts = parseTemplate(template, glob)
  return {
    glob,
    keyOf(path) {
      const captures = glob.capture(path) ?? []
      const key = parts
        .map((part) => (typeof part === 'string' ? part : captures[part - 1]))
        .join('')
      if (key.length * 3 > keyBytesMax && utf8(key).length > keyBytesMax) {
        throw new FailedPreconditionError(
          `the match key of ${path} is longer than ${keyBytesMax} bytes: capture less of it`,
        )
      }
      return key
    },
  }
}

/** Texts, and numbers of captures from 1. */
function parseTemplate(template: string, glob: CapturingGlob): readonly (string | number)[] {
  const refuse = (reason: string): never => {
    throw new InvalidArgumentError(`${JSON.stringify(template)} ${reason}`)
  }
  if (template.length > templateLengthMax) {
    return refuse(`is longer than ${templateLengthMax} characters`)
  }
  if (template.includes('\0')) return refuse('holds a null character')
  const parts: (string | number)[] = []
  let captures = 0
  for (const [text, braced, bare] of template.matchAll(/\$\{(\d{1,3})\}|\$(\d)|\$\$|\$|[^$]+/g)) {
    const number = braced ?? bare
    if (number !== undefined) {
      captures += 1
      if (Number(number) < 1 || Number(number) > glob.captureCount) {
        return refuse(
          `names capture ${number}, and the glob ${JSON.stringify(glob.text)} has ${glob.captureCount} in parentheses`,
        )
      }
      parts.push(Number(number))
    } else if (text === '$')
      return refuse('has a "$" without a number: write "$$" for a dollar sign')
    else parts.push(text === '$$' ? '$' : text)
  }
  if (captures === 0) return refuse('must name a capture of the glob, such as "$1"')
  return parts
}
