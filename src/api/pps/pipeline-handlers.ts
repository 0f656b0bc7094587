import type { MessageInitShape } from '@bufbuild/protobuf'
import {
  PipelineState as StateCode,
  type API,
  type PipelineInfoSchema,
  PipelineInfosSchema,
} from '../../gen/pps_pb.ts'
import { requirePipelineName, type PipelineInfo } from '../../pipelines/pipelines.ts'
import type { Processing } from '../../pipelines/processing.ts'
import type { PipelineState } from '../../pipelines/states.ts'
import type { ServiceHandlers } from '../grpc/service.ts'
import { timestampOf } from '../pfs/messages.ts'
import { streamedBy, wholeList } from '../pfs/single-message.ts'
import { durationOf } from './durations.ts'
import { jobStateCodes } from './job-messages.ts'
import {
  egressMessage,
  inputMessage,
  limitsMessage,
  parallelismMessage,
  resourcesMessage,
  transformMessage,
} from './spec-messages.ts'
import { chosenCommits, rerunCommits } from './run-request.ts'
import { specOfRequest } from './spec-request.ts'

const stateCodes: Readonly<Record<PipelineState, StateCode>> = {
  running: StateCode.PIPELINE_RUNNING,
  paused: StateCode.PIPELINE_PAUSED,
  failure: StateCode.PIPELINE_FAILURE,
}

export function pipelineHandlers({ pipelines }: Processing): ServiceHandlers<typeof API> {
  return {
    async createPipeline(request) {
      const spec = specOfRequest(request)
      if (request.update) await pipelines.update(spec, { reprocess: request.reprocess })
      else await pipelines.create(spec)
      return {}
    },

    async inspectPipeline({ pipeline }) {
      return pipelineInfoMessage(await pipelines.inspect(requirePipelineName(pipeline?.name)))
    },

    listPipeline: {
      encoded: () =>
        wholeList(PipelineInfosSchema, pipelines.pages(), {
          encode: ({ info }) => ({ pipelineInfo: [pipelineInfoMessage(info)] }),
          rank: ({ modifiedAt }) => modifiedAt,
          advice: `${streamedBy('list-pipeline', 'Pipelines/ListPipelines')}; or inspect one pipeline`,
        }),
    },

    async deletePipeline({ pipeline, deleteJobs, deleteRepo, all, cascade }) {
      const options = { deleteJobs, deleteRepo, cascade }
      if (all) await pipelines.deleteAll(options)
      else await pipelines.delete(requirePipelineName(pipeline?.name), options)
      return {}
    },

    async createJob(request) {
      const name = requirePipelineName(request.pipeline?.name)
      return {
        id: await pipelines.run(name, chosenCommits(request, await pipelines.inspect(name))),
      }
    },

    async rerunPipeline(request) {
      const name = requirePipelineName(request.pipeline?.name)
      await pipelines.run(name, rerunCommits(request))
      return {}
    },

    async startPipeline({ pipeline }) {
      await pipelines.start(requirePipelineName(pipeline?.name))
      return {}
    },

    async stopPipeline({ pipeline }) {
      await pipelines.stop(requirePipelineName(pipeline?.name))
      return {}
    },

    async deleteAll() {
      await pipelines.deleteAll({ deleteJobs: true, deleteRepo: false })
      return {}
    },
  }
}

export function pipelineInfoMessage(
  info: PipelineInfo,
): MessageInitShape<typeof PipelineInfoSchema> {
  const { spec } = info
  const parallelismSpec = parallelismMessage(spec)
  const counts = [...info.jobCounts].map(([state, count]) => [jobStateCodes[state], count] as const)
  return {
    id: info.pipelineId,
    pipeline: { name: info.name },
    version: BigInt(info.version),
    salt: info.salt,
    state: stateCodes[info.state],
    recentError: info.recentError,
    createdAt: timestampOf(info.createdAt),
    jobCounts: Object.fromEntries(counts),
    description: spec.description,
    transform: transformMessage(spec),
    input: inputMessage(spec.input),
    outputBranch: spec.outputBranch,
    resourceSpec: resourcesMessage(spec),
    cacheSize: spec.cacheSize,
    enableStats: spec.enableStats,
    batch: spec.batch,
    ...limitsMessage(spec),
    incremental: spec.incremental,
    ...egressMessage(spec),
    notices: [...info.notices],
    executor: spec.executor ?? '',
    runsIn: info.runsIn,
    ...(spec.spout === true && { spout: {} }),
    ...(spec.service !== undefined && { service: { ...spec.service } }),
    ...(parallelismSpec !== undefined && { parallelismSpec }),
    ...(spec.scaleDownThresholdMs !== undefined && {
      scaleDownThreshold: durationOf(spec.scaleDownThresholdMs),
    }),
  }
}
