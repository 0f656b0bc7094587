import type { MessageInitShape } from '@bufbuild/protobuf'
import {
  TrialResults as ResultsCode,
  TrialState as StateCode,
  Trials,
  type TrialInfoSchema,
  type TrialPipelineSchema,
} from '../gen/pachyderm_pb.ts'
import type { Processing } from '../pipelines/processing.ts'
import type { TrialInfo, TrialOutcome, TrialResults } from '../pipelines/trials.ts'
import { service, type Route } from './grpc/service.ts'
import { commitMessage, timestampOf } from './pfs/messages.ts'
import { requireCommit, requireText } from './pfs/names.ts'
import { specOfRequest } from './pps/spec-request.ts'

const stateCodes: Readonly<Record<TrialOutcome['state'], StateCode>> = {
  running: StateCode.RUNNING,
  waiting: StateCode.WAITING,
  failed: StateCode.FAILED,
  ready: StateCode.READY,
}

/** pachyderm.Trials: changes of pipelines and data beside the main line. */
export function trialsRoutes({ trials }: Processing): readonly Route[] {
  return service(Trials, {
    async createTrial({ trial, specs, data, results }) {
      const info = await trials.create({
        name: requireTrial(trial),
        specs: specs.map(specOfRequest),
        data: data.map(({ branch: replaced, other }) => {
          const { repo, commit: branch } = requireCommit(replaced, 'data.branch')
          return { repo, branch, other: requireText(other, 'data.other', 'a branch is needed') }
        }),
        results: resultsOf(results),
      })
      return infoMessage(info)
    },

    async inspectTrial({ trial, block }, { signal }) {
      const name = requireTrial(trial)
      return infoMessage(await (block ? trials.settled(name, signal) : trials.inspect(name)))
    },

    async *listTrials() {
      // A trial may have hundreds of pipelines: each goes by itself.
      for await (const page of trials.pages()) {
        for (const info of page) yield { trials: [infoMessage(info)] }
      }
    },

    async mergeTrial({ trial }) {
      return infoMessage(await trials.merge(requireTrial(trial)))
    },

    async deleteTrial({ trial }) {
      await trials.delete(requireTrial(trial))
      return {}
    },
  })
}

function requireTrial(name: string): string {
  return requireText(name, 'trial', 'a trial name is needed')
}

function resultsOf(code: ResultsCode): TrialResults {
  switch (code) {
    case ResultsCode.ALL:
      return 'all'
    case ResultsCode.NONE:
      return 'none'
    default:
      return 'same-code'
  }
}

function infoMessage(info: TrialInfo): MessageInitShape<typeof TrialInfoSchema> {
  return {
    trial: info.name,
    created: timestampOf(info.createdAt),
    data: info.data.map(({ repo, branch, other }) => ({
      branch: commitMessage(repo, branch),
      other,
    })),
    pipelines: info.outcomes.map(pipelineMessage),
    obstacles: [...info.obstacles],
  }
}

function pipelineMessage(outcome: TrialOutcome): MessageInitShape<typeof TrialPipelineSchema> {
  const { pipeline: member, state, reason, job, mainHead, trialHead } = outcome
  return {
    pipeline: { name: member.pipeline },
    tries: { name: member.tries },
    changed: member.isChanged,
    new: member.basedOn === 0,
    state: stateCodes[state],
    reason,
    ...(job !== undefined && {
      job: { id: job.id },
      datums: BigInt(job.counts.total),
      processed: BigInt(job.counts.processed),
      skipped: BigInt(job.counts.skipped),
    }),
    ...(mainHead !== undefined && { mainHead: commitMessage(member.tries, mainHead) }),
    ...(trialHead !== undefined && { trialHead: commitMessage(member.pipeline, trialHead) }),
  }
}
