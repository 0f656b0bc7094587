import { CallerQuestions } from '../base/caller-questions.ts'
import { InvalidArgumentError, PermissionDeniedError } from '../base/errors.ts'
import { parseCode } from '../base/grpc-wire.ts'
import type { Random } from '../base/random.ts'
import { type AnswerPushRequest, Transfers } from '../gen/pachyderm_pb.ts'
import type { PushedCall, PushedPart } from '../sources/asking-transport.ts'
import type { Pulls } from '../sources/pulls.ts'
import { service, type Route } from './grpc/service.ts'
import { pullMessage } from './transfers/pull-messages.ts'

/** pachyderm.Transfers. `isAllowed`: whether this server fetches anything. */
export function transfersRoutes(
  pulls: Pulls,
  { random, isAllowed }: { readonly random: Random; readonly isAllowed: boolean },
): readonly Route[] {
  const questions = new CallerQuestions<PushedCall, PushedPart>(random)
  return service(Transfers, {
    async *pull({ address, repos, withProvenance, onlyNew, dryRun }, { signal }) {
      if (!isAllowed) {
        throw new PermissionDeniedError(
          'this server fetches nothing from elsewhere (it runs with --sources none)',
        )
      }
      const request = {
        address,
        repos,
        withProvenance,
        onlyNew,
        withUnreached: false,
        isDryRun: dryRun,
      }
      for await (const event of pulls.pull(request, signal)) yield { event: pullMessage(event) }
    },

    async *push({ repos, withProvenance, dryRun }, { signal }) {
      const wish = { repos, withProvenance, onlyNew: false, withUnreached: false, isDryRun: dryRun }
      const told = questions.run((ask) => pulls.pullFromCaller(ask, wish, signal))
      for await (const next of told) {
        if (next.kind === 'event') {
          yield { event: pullMessage(next.event) }
          continue
        }
        const { id, question } = next
        const { path: method, request } = question
        yield { event: { case: 'call', value: { id, method, request } } }
      }
    },

    async answerPush(requests) {
      const parts = requests[Symbol.asyncIterator]()
      const first = await parts.next()
      const part = first.done === true ? undefined : first.value.part
      if (part?.case !== 'call') {
        throw new InvalidArgumentError('the first message says which call is answered')
      }
      await questions.answer(part.value, pushedParts(parts))
      return {}
    },
  })
}

async function* pushedParts(
  requests: AsyncIterator<AnswerPushRequest>,
): AsyncGenerator<PushedPart> {
  for (let next = await requests.next(); next.done !== true; next = await requests.next()) {
    const { part } = next.value
    if (part.case === 'message') yield { kind: 'message', bytes: part.value }
    else if (part.case === 'failure') {
      const { code, message: text } = part.value
      yield { kind: 'failure', code: parseCode(String(code)), text }
      return
    } else throw new InvalidArgumentError('a message, or a failure, is needed')
  }
}
