import type { MessageInitShape } from '@bufbuild/protobuf'
import { DomainError } from '../base/errors.ts'
import {
  PipelineInfosBatchSchema,
  Pipelines,
  type SpecValidationSchema,
} from '../gen/pachyderm_pb.ts'
import type { CreatePipelineRequest } from '../gen/pps_pb.ts'
import type { RequestedSpec } from '../pipelines/requested-specs.ts'
import type { ImageBuilds } from '../pipelines/image-builds.ts'
import type { Processing } from '../pipelines/processing.ts'
import { service, type Route } from './grpc/service.ts'
import { buildImage } from './pps/image-builds.ts'
import { batchedList } from './pfs/batched-list.ts'
import { pipelineInfoMessage } from './pps/pipeline-handlers.ts'
import { specOfRequest } from './pps/spec-request.ts'

type Validation = MessageInitShape<typeof SpecValidationSchema>

/** pachyderm.Pipelines: what 1.5 cannot do with pipelines. */
export function pipelinesRoutes({ pipelines, images }: PipelinesPorts): readonly Route[] {
  return service(Pipelines, {
    buildImage: (requests, { signal }) => buildImage(images, requests, signal),
    listPipelines: {
      encoded: () =>
        batchedList(PipelineInfosBatchSchema, pipelines.latest(), (info) => ({
          pipelineInfo: [pipelineInfoMessage(info)],
        })),
    },

    async validatePipelines({ specs }) {
      const parsed = specs.map(parseSpec)
      const sound = parsed.flatMap((spec) => ('refusal' in spec ? [] : [spec.request]))
      const validations = (await pipelines.validate(sound)).values()
      return {
        validations: parsed.map((spec, index): Validation => {
          const name = specs[index]?.pipeline?.name ?? ''
          if ('refusal' in spec) return { pipeline: { name }, refusal: spec.refusal }
          const validation = validations.next().value
          switch (validation?.kind) {
            case 'accepted': {
              const info = pipelines.preview(validation.pipeline)
              return { pipeline: { name }, pipelineInfo: pipelineInfoMessage(info) }
            }
            case 'refused':
              return { pipeline: { name }, refusal: validation.error.message }
            default:
              return { pipeline: { name } }
          }
        }),
      }
    },
  })
}

interface PipelinesPorts extends Pick<Processing, 'pipelines'> {
  readonly images: ImageBuilds
}

type Parsed = { readonly request: RequestedSpec } | { readonly refusal: string }

/** Some things are refused before the domain sees them. */
function parseSpec(message: CreatePipelineRequest): Parsed {
  try {
    return { request: specOfRequest(message) }
  } catch (error) {
    if (error instanceof DomainError) return { refusal: error.message }
    throw error
  }
}
