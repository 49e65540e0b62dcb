// The families of kernels that the workbench times, each in a file of its own.
#pragma once

#include "workbench.h"

namespace qnext::workbench {

void MeasureReadRate(Workbench& bench);  // the plain read at the sizes of the products: what a launch can reach

}  // namespace qnext::workbench
