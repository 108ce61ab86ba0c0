"""What the paper compares, whatever else has been added since."""

#: The eight methods of the paper; published studies and pages have these, and a method that is added changes neither.
METHODS = {"adapters", "aot_fc", "aot_kronecker", "bitfit", "fine_tuning", "lora", "p_tuning_v1", "p_tuning_v2"}
