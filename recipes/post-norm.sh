# scarce.sh with layer normalisation after each sub-layer, and the lower learning rate that it needs.
source "$recipes/scarce.sh"
kept=()
for flag in "${model[@]}"; do
    if [[ $flag != *-normalize-before ]]; then kept+=("$flag"); fi
done
model=("${kept[@]}")
training+=(--lr 2e-3)
