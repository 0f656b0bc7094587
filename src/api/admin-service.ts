import type { CheckEvent } from '../base/check-events.ts'
import type { Clock } from '../base/clock.ts'
import type { Symptom, SymptomGrade } from '../base/symptoms.ts'
import { Admin, SymptomGrade as SymptomGradeCode } from '../gen/pachyderm_pb.ts'
import type { StoreWait } from '../base/store-waits.ts'
import type { Collector } from '../storage/collector.ts'
import { collectGarbage } from './admin/collection-messages.ts'
import { checkEventMessage } from './admin/check-messages.ts'
import { timestampOf } from './pfs/messages.ts'
import { service, type Route } from './grpc/service.ts'

/** What a server knows of itself. */
export interface ServerFacts {
  readonly release: string
  readonly uptimeMs: number
  /** Where user code runs; empty while it runs nowhere. */
  readonly executor: string
  /** Sentences for whoever runs the server, each with advice. */
  readonly notices: readonly string[]
}

const symptomGrades: Readonly<Record<SymptomGrade, SymptomGradeCode>> = {
  fine: SymptomGradeCode.FINE,
  notice: SymptomGradeCode.NOTICE,
  problem: SymptomGradeCode.PROBLEM,
}
const msPerSecond = 1000
const nanosPerMs = 1_000_000

/** What whoever runs the server may ask for. */
export interface AdminPorts {
  readonly facts: () => Promise<ServerFacts>
  /** Checks everything that is stored, until nobody takes events any more. */
  readonly check: (
    options: { readonly full: boolean; readonly fix: boolean },
    signal: AbortSignal,
  ) => AsyncIterable<CheckEvent>
  readonly collector: Collector
  /** Looks at what the server needs of its machine. */
  readonly diagnose: () => Promise<readonly Symptom[]>
  /** The object stores of that name that the server waits for. */
  readonly storeWaits: (bucket: string) => readonly (StoreWait & { readonly notedMsAgo: number })[]
  readonly clock: Clock
}

/** pachyderm.Admin, for whoever runs the server. */
export function adminRoutes({
  facts,
  check,
  collector,
  diagnose,
  storeWaits,
  clock,
}: AdminPorts): readonly Route[] {
  return service(Admin, {
    collectGarbage: ({ dryRun }, { signal }) => collectGarbage(collector, dryRun, signal),

    async compact(_request, { signal }) {
      const { packsJoined, bytesJoined, packsWritten, bytesWritten, packs } =
        await collector.compact(signal)
      return {
        packsJoined: BigInt(packsJoined),
        bytesJoined: BigInt(bytesJoined),
        packsWritten: BigInt(packsWritten),
        bytesWritten: BigInt(bytesWritten),
        packs: BigInt(packs),
      }
    },

    async inspectServer() {
      const { release, uptimeMs, executor, notices } = await facts()
      const seconds = Math.floor(uptimeMs / msPerSecond)
      const nanos = Math.floor((uptimeMs - seconds * msPerSecond) * nanosPerMs)
      return {
        version: release,
        uptime: { seconds: BigInt(seconds), nanos },
        executor,
        notices: [...notices],
      }
    },

    listStoreWaits({ bucket }) {
      const waits = storeWaits(bucket).map(({ waitedMs, notedMsAgo, error = '', ...store }) => ({
        ...store,
        waitedMs: BigInt(waitedMs),
        notedMsAgo: BigInt(notedMsAgo),
        error,
      }))
      return Promise.resolve({ waits })
    },

    async diagnose() {
      const symptoms = (await diagnose()).map(({ grade, ...rest }) => ({
        ...rest,
        grade: symptomGrades[grade],
      }))
      return { symptoms, now: timestampOf(clock.now()) }
    },

    async *check({ full, fix }, { signal }) {
      for await (const event of check({ full, fix }, signal)) yield checkEventMessage(event)
    },
  })
}
