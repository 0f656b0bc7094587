import type { ChosenSnapshot } from '../backups/snapshot-choice.ts'
import type { NamedPlace } from '../backups/store-backups.ts'
import { type AskCaller, CallerQuestions } from '../base/caller-questions.ts'
import { InvalidArgumentError } from '../base/errors.ts'
import type { Random } from '../base/random.ts'
import type { AnswerRestoreRequest, Backups } from '../gen/pachyderm_pb.ts'
import type { PullEvent, PullWish } from '../sources/pulls.ts'
import { choiceMessage, placeOf } from './backups/backup-messages.ts'
import type { ServiceHandlers } from './grpc/service.ts'
import { pullMessage } from './transfers/pull-messages.ts'

/** Where the backup is that repos come from. */
export type RepoRestoreSource =
  | { readonly kind: 'place'; readonly place: NamedPlace; readonly snapshot: string }
  | {
      readonly kind: 'caller'
      /** For an object of the backup, by its key. */
      readonly ask: AskCaller<string, Uint8Array>
      readonly snapshot: string
      /** Its object. */
      readonly bytes: Uint8Array
    }

export type RepoRestoreEvent =
  | PullEvent
  | {
      readonly kind: 'snapshot'
      readonly name: string
      /** Where it was found by the server. */
      readonly choice: ChosenSnapshot | undefined
    }

/** Brings chosen repos of a backup. */
export interface RepoRestores {
  restore(
    source: RepoRestoreSource,
    wish: PullWish,
    signal: AbortSignal,
  ): AsyncIterable<RepoRestoreEvent>
}

/** RestoreRepos, AnswerRestore. */
export function repoRestoreHandlers(
  repoRestores: RepoRestores,
  random: Random,
): Pick<ServiceHandlers<typeof Backups>, 'restoreRepos' | 'answerRestore'> {
  const questions = new CallerQuestions<string, Uint8Array>(random)
  return {
    async *restoreRepos(request, { signal }) {
      const { place, snapshot, data: bytes, repos, withProvenance, dryRun } = request
      if (repos.length === 0) {
        throw new InvalidArgumentError('name the repos that are to be restored')
      }
      const wish = {
        repos,
        withProvenance,
        withUnreached: true,
        onlyNew: false,
        isDryRun: dryRun,
      }
      const told = questions.run((ask) => {
        const source =
          place === undefined
            ? ({ kind: 'caller', ask, snapshot, bytes } as const)
            : ({ kind: 'place', place: placeOf(place), snapshot } as const)
        return repoRestores.restore(source, wish, signal)
      })
      for await (const next of told) {
        if (next.kind === 'question') {
          const value = { id: next.id, key: next.question }
          yield { event: { case: 'wanted', value } }
        } else if (next.event.kind === 'snapshot') {
          const { name, choice } = next.event
          yield { event: { case: 'snapshot', value: name } }
          if (choice !== undefined) {
            yield { event: { case: 'choice', value: choiceMessage(choice) } }
          }
        } else yield { event: pullMessage(next.event) }
      }
    },

    async answerRestore(requests) {
      const parts = requests[Symbol.asyncIterator]()
      const first = await parts.next()
      const part = first.done === true ? undefined : first.value.part
      if (part?.case !== 'wanted') {
        throw new InvalidArgumentError('the first message says what is answered')
      }
      await questions.answer(part.value, dataOf(parts))
      return {}
    },
  }
}

async function* dataOf(requests: AsyncIterator<AnswerRestoreRequest>): AsyncGenerator<Uint8Array> {
  for (let next = await requests.next(); next.done !== true; next = await requests.next()) {
    const { part } = next.value
    if (part.case !== 'data') throw new InvalidArgumentError('bytes of the object are needed')
    yield part.value
  }
}
