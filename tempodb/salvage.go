package tempodb

import (
	"context"
	"errors"
	"slices"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/block"
)

// setAside salvages a live block, if it is damaged, lets what was saved answer in its place, and says whether it was.
func (u *upkeep) setAside(ctx context.Context, id block.ID) (bad bool, err error) {
	report, err := block.Salvage(ctx, u.bucket, u.name, id, u.codec, u.salvage)
	switch {
	case errors.Is(err, block.ErrSound):
		u.holder.forgive(id)
		return false, nil
	case errors.Is(err, backend.ErrNotExist):
		u.stats.losses.Add(1)
		err := u.holder.exchange(ctx, []block.ID{id}, nil)
		stays := slices.ContainsFunc(u.holder.metas(), func(m *block.Meta) bool { return m.ID == id })
		return !stays, err
	case err != nil:
		return false, err
	}
	var saved *block.Meta
	if report.NewBlock != "" {
		if saved, err = block.ReadMeta(ctx, u.bucket, u.name, report.NewBlock); err != nil {
			return true, err
		}
	}
	u.stats.salvaged.Add(1)
	if report.Saved < report.Keys || report.Keys == 0 {
		u.stats.losses.Add(1)
	}
	u.logger.Error("damaged block set aside", "database", u.name, "block", id, "damaged_places", report.DamageCount, "keys", report.Keys,
		"saved", report.Saved, "into", report.NewBlock, "kept_under", block.QuarantineFolder+"/"+u.name+"/"+string(id))
	return true, u.holder.exchange(ctx, []block.ID{id}, saved)
}
