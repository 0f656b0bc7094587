import type { MessageInitShape } from '@bufbuild/protobuf'
import { FailedPreconditionError, InvalidArgumentError } from '../base/errors.ts'
import { type FileOriginSchema, JobInfosBatchSchema, Jobs } from '../gen/pachyderm_pb.ts'
import type { CreatePipelineRequest, DatumInfoSchema } from '../gen/pps_pb.ts'
import { type PlannedSpec, requirePipelineName } from '../pipelines/pipelines.ts'
import type { Processing } from '../pipelines/processing.ts'
import { service, type Route } from './grpc/service.ts'
import {
  datumExplanationMessage,
  explainFile,
  jobExplanationMessage,
} from './jobs/explain-messages.ts'
import { derivationBatches, originMessage } from './jobs/lineage-messages.ts'
import { planStepMessage } from './jobs/plan-messages.ts'
import { jobStatsMessage, pipelineStatsMessage } from './jobs/stats-messages.ts'
import { batchedList } from './pfs/batched-list.ts'
import { requireFile, requireText } from './pfs/names.ts'
import { inputsOf, requireJob, toldJobs } from './pps/job-handlers.ts'
import { datumInfoMessage, jobInfoMessage } from './pps/job-messages.ts'
import { specOfRequest } from './pps/spec-request.ts'

/** Datums in one batch: some 200 bytes each. */
const batchDatumCount = 1000
/** The most origins of one file that are told in one answer. */
const originCountMax = 10_000

/** pachyderm.Jobs: datums of any number, what would run and why it did, and where files come from. */
export function jobsRoutes(processing: Processing): readonly Route[] {
  const { jobs, plans, explanations, lineage, statistics } = processing
  return service(Jobs, {
    listJobs: {
      encoded({ pipeline, inputCommit }) {
        const pages = toldJobs(jobs, jobs.pages(pipeline?.name, inputsOf(inputCommit)))
        return batchedList(JobInfosBatchSchema, pages, (job) => ({
          jobInfo: [jobInfoMessage(job)],
        }))
      },
    },

    async *listDatums({ job: name }) {
      const job = await jobs.inspect(requireJob(name))
      let datumInfo: MessageInitShape<typeof DatumInfoSchema>[] = []
      for await (const datum of jobs.datums(job.id)) {
        datumInfo.push(datumInfoMessage(datum, job))
        if (datumInfo.length < batchDatumCount) continue
        yield { datumInfo }
        datumInfo = []
      }
      if (datumInfo.length > 0) yield { datumInfo }
    },

    async *plan({ spec, before }, { signal }) {
      if (spec === undefined) {
        throw new InvalidArgumentError('a spec is needed, but the request has no spec')
      }
      const steps = plans.plan(plannedOf(spec), { before: before.map(plannedOf), signal })
      for await (const step of steps) yield planStepMessage(step)
    },

    async explain({ job, datumId, file }) {
      if (file !== undefined) {
        if (job !== undefined || datumId !== '') {
          throw new InvalidArgumentError('explain either a file, or a job or a datum, not both')
        }
        return await explainFile(processing, requireFile(file))
      }
      if (datumId === '') {
        return { job: jobExplanationMessage(await explanations.ofJob(requireJob(job))) }
      }
      const explained = await explanations.ofDatum(
        requireText(datumId, 'datum_id', 'a datum id is needed'),
        job === undefined ? undefined : requireJob(job),
      )
      return { datums: [datumExplanationMessage(explained)] }
    },

    async lineage({ file }) {
      const origins: MessageInitShape<typeof FileOriginSchema>[] = []
      for await (const origin of lineage.origins(requireFile(file))) {
        if (origins.length === originCountMax) {
          throw new FailedPreconditionError(
            `more than ${originCountMax} datums wrote there: ask for a path deeper in the tree`,
          )
        }
        origins.push(originMessage(origin))
      }
      return { origins }
    },

    async inspectStats({ job, pipeline }) {
      if ((job === undefined) === (pipeline === undefined)) {
        throw new InvalidArgumentError('either a job or a pipeline is needed')
      }
      if (job !== undefined) return jobStatsMessage(await statistics.ofJob(requireJob(job)))
      return pipelineStatsMessage(await statistics.ofPipeline(requirePipelineName(pipeline?.name)))
    },

    async *derivations({ file }) {
      yield* derivationBatches(lineage.derived(requireFile(file)))
    },
  })
}

function plannedOf(spec: CreatePipelineRequest): PlannedSpec {
  return { request: specOfRequest(spec), options: { reprocess: spec.reprocess } }
}
