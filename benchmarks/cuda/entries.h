// The families of kernels that the workbench times, each in a file of its own.
#pragma once

#include "workbench.h"

namespace qnext::workbench {

void MeasureAttention(Workbench& bench);
void MeasureDelta(Workbench& bench);
void MeasureReadRate(Workbench& bench);  // the plain read at the sizes of the products: what a launch can reach
void MeasureProducts(Workbench& bench);  // int4, int8 and dense products, experts
void MeasureStep(Workbench& bench);      // norms, embedding, quantization, router, sampling

}  // namespace qnext::workbench
