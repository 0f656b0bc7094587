import type { SlotResources, Transform } from '../executor.ts'
import type { Resources } from '../requested-specs.ts'
import type { PipelineSpec } from '../specs.ts'
import { quantityValue } from '../../base/quantities.ts'

/** What the workers of a pipeline run, with what each may use. */
export function workerTransform(spec: PipelineSpec): Transform {
  const { name, transform, resources, imagePullSecrets, executor } = spec
  return {
    ...transform,
    pipeline: name,
    ...(imagePullSecrets.length > 0 && { imagePullSecrets }),
    ...(executor !== undefined && { executor }),
    ...(resources !== undefined && { resources: slotResources(resources) }),
  }
}

function slotResources({ cpu, gpu, memory }: Resources): SlotResources {
  return { cpu, gpu, memoryBytes: quantityValue(memory || '0') ?? 0 }
}
