import { collectBytes, utf8, utf8Text } from '../../base/bytes.ts'
import type { Instant } from '../../base/clock.ts'
import { FailedPreconditionError, NotFoundError } from '../../base/errors.ts'
import { IsADirectoryError } from '../../versioning/errors.ts'
import { OperationFailedError } from '../../versioning/transactions.ts'
import type { Versioning } from '../../versioning/versioning.ts'
import type { AtomInput } from '../inputs.ts'
import { tickPath } from '../inputs.ts'

const microsPerMilli = 1000
/** Where instants end to be exact. */
const msEnd: number = Date.UTC(2255, 0)
/** A tick is some 22 bytes; what people put there may be anything. */
const tickBytesMax = 1024

/** The commits of cron inputs' repos: one for each tick, whose only news is the file `time`. */
export class TickCommits {
  readonly #versioning: Pick<Versioning, 'files' | 'transactions'>

  constructor(versioning: Pick<Versioning, 'files' | 'transactions'>) {
    this.#versioning = versioning
  }

  /**
   * The time in the file `time` at the head; undefined where there is no such file.
   *
   * @throws {FailedPreconditionError} when what it holds is no time: to begin anew at the start of the
   *   input would make every tick again.
   */
  async last({ repo, branch }: AtomInput): Promise<Instant | undefined> {
    try {
      const file = { repo, commit: branch, path: tickPath }
      const { bytes } = await this.#versioning.files.read(file, { length: tickBytesMax })
      const text = utf8Text(await collectBytes(bytes, tickBytesMax))
      const tick = parseTick(text)
      if (tick !== undefined) return tick
      throw new FailedPreconditionError(
        `${repo}@${branch}:${tickPath} holds ${shortened(text)}, which is no time of a tick: put one there, such as ${tickText(0)} with its quotes, or delete the file to begin anew at the start of the input`,
      )
    } catch (error) {
      if (error instanceof NotFoundError || error instanceof IsADirectoryError) return undefined
      throw error
    }
  }

  /**
   * Makes the commit of a tick, with the jobs that follow from it, in one transaction.
   *
   * @throws {DomainError} when the repo is gone, or cannot be committed to.
   */
  async make({ repo, branch }: AtomInput, tick: Instant): Promise<void> {
    const bytes = utf8(tickText(tick))
    try {
      await this.#versioning.transactions.run([
        { kind: 'start-commit', repo, branch },
        // As in 1.5: whatever is there makes way.
        { kind: 'delete-file', repo, commit: branch, path: tickPath },
        { kind: 'put-file', repo, commit: branch, path: tickPath, bytes, overwrite: true },
        { kind: 'finish-commit', repo, commit: branch },
      ])
    } catch (error) {
      // Whoever looks at the pipeline knows of no transaction.
      throw error instanceof OperationFailedError ? error.cause : error
    }
  }
}

/** As 1.5 writes it: a JSON text with a time of RFC 3339, in whole seconds. */
function tickText(tick: Instant): string {
  return JSON.stringify(new Date(tick / microsPerMilli).toISOString().replace(/\.\d+Z$/, 'Z'))
}

function shortened(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text)
}

function parseTick(text: string): Instant | undefined {
  try {
    const value = JSON.parse(text) as unknown
    const ms = typeof value === 'string' ? Date.parse(value) : Number.NaN
    return ms >= 0 && ms < msEnd ? ms * microsPerMilli : undefined
  } catch {
    return undefined
  }
}
