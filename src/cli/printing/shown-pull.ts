import { sizeText } from '../../base/sizes.ts'
import type { PulledRepo, PullProgress, PullResponse } from '../../gen/pachyderm_pb.ts'
import type { CommandContext } from '../command.ts'
import { StatusLine } from './status-line.ts'

/** Shows how far a pull is, and at the end what has come. */
export class ShownPull {
  readonly #context: CommandContext
  readonly #isDryRun: boolean
  readonly #verb: string
  readonly #line: StatusLine
  /** That came, by repo. */
  readonly #bytes = new Map<string, bigint>()

  /** @param verb what becomes of commits, such as `pulled`. */
  constructor(context: CommandContext, verb: string) {
    this.#context = context
    this.#isDryRun = context.flags.isOn('dry-run')
    this.#verb = this.#isDryRun ? `would be ${verb}` : verb
    this.#line = new StatusLine(context)
  }

  async show(event: PullResponse['event']): Promise<void> {
    if (event.case === 'progress') {
      this.#bytes.set(event.value.repo, event.value.bytes)
      this.#line.show(progressText(event.value))
    } else if (event.case === 'repo') {
      this.#line.clear()
      const came = this.#isDryRun ? undefined : (this.#bytes.get(event.value.repo) ?? 0n)
      await this.#context.out.line(repoText(event.value, this.#verb, came))
    }
  }

  end(): void {
    this.#line.clear()
  }
}

function progressText({ repo, commitsDone, commitsTotal, files, bytes }: PullProgress): string {
  return `${repo}: ${commitsDone} of ${commitsTotal} commits, ${files} files, ${sizeText(Number(bytes))}`
}

function repoText(
  { repo, commits, branches, ahead, leftOut, tags, otherTags }: PulledRepo,
  verb: string,
  bytes: bigint | undefined,
): string {
  const counted = commits === 1n ? '1 commit' : `${commits} commits`
  const moved = branches.length === 0 ? 'no branch moved' : `to ${branches.join(', ')}`
  const tagged = tags.length === 0 ? '' : `, tagged ${tags.join(', ')}`
  const came = bytes === undefined ? '' : `, ${cameText(bytes, commits, verb)}`
  const there = ahead.length === 0 ? '' : `; ${ahead.join(', ')} has more here than there`
  const other = otherTags.length === 0 ? '' : `; tag ${otherTags.join(', ')} is another one here`
  const left = leftOut === 0n ? '' : `; ${leftOutText(leftOut)} there that no branch leads to`
  return `${repo}: ${counted} ${verb}, ${moved}${tagged}${came}${there}${other}${left}`
}

/** Commits come whole; of their files, only what is not there yet. */
function cameText(bytes: bigint, commits: bigint, verb: string): string {
  const files = `${sizeText(Number(bytes))} of files`
  if (commits === 0n) return files
  return `${files} that were not ${verb === 'pushed' ? 'there' : 'here'}`
}

function leftOutText(count: bigint): string {
  return count === 1n ? '1 commit stays' : `${count} commits stay`
}
